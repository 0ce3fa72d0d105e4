//! How images are seen before the network sees them, in the terms of each library.

use serde_json::{Value, json};

use crate::augment::views::EvalView;
use crate::config::Config;

/// Bilinear interpolation, as Pillow numbers it.
const BILINEAR: u8 = 2;

/// What is done with an image: the evaluation's view of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preprocessing {
    view: EvalView,
    /// The side of the network's images where they are taken whole: that of the views in training.
    whole: usize,
    mean: [f32; 3],
    std: [f32; 3],
}

impl Preprocessing {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            view: EvalView::of_config(&config.eval),
            whole: config.views.global.size,
            mean: config.data.mean,
            std: config.data.std,
        }
    }

    /// timm's `pretrained_cfg`.
    pub(super) fn for_timm(&self) -> Value {
        let (size, crop_pct) = match self.view {
            EvalView::Whole => (self.whole, 1.0),
            EvalView::Central { resize, crop } => (crop, share(resize, crop)),
        };
        json!({
            "input_size": [3, size, size],
            "fixed_input_size": false,
            "interpolation": "bilinear",
            "crop_pct": crop_pct,
            "crop_mode": "center",
            "mean": self.mean.map(decimal),
            "std": self.std.map(decimal),
            "num_classes": 0,
            "first_conv": "conv1",
            "classifier": "fc",
        })
    }

    /// transformers' `preprocessor_config.json`. Its processor for BiT, a ResNet, does these steps in this
    /// order.
    pub(super) fn for_transformers(&self) -> Value {
        let mut config = json!({
            "image_processor_type": "BitImageProcessor",
            "do_convert_rgb": true,
            "do_resize": false,
            "do_center_crop": false,
            "do_rescale": true,
            "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": self.mean.map(decimal),
            "image_std": self.std.map(decimal),
        });
        if let EvalView::Central { resize, crop } = self.view {
            config["do_resize"] = json!(true);
            config["size"] = json!({ "shortest_edge": resize });
            config["resample"] = json!(BILINEAR);
            config["do_center_crop"] = json!(true);
            config["crop_size"] = json!({ "height": crop, "width": crop });
        }
        config
    }

    /// As a sentence.
    pub(super) fn in_words(&self) -> String {
        let list = |of: [f32; 3]| of.map(|number| number.to_string()).join(", ");
        let size = match self.view {
            EvalView::Whole => {
                format!(
                    "Images are taken as they are; it was trained on views of {0} × {0} pixels",
                    self.whole
                )
            }
            EvalView::Central { resize, crop } => format!(
                "The shorter side is brought to {resize} pixels (bilinear, antialiased), and the middle {crop} × {crop} \
                 are taken"
            ),
        };
        format!(
            "{size}. Values in [0, 1] are normalised by the mean ({}) and the standard deviation ({}) of red, green and \
             blue.",
            list(self.mean),
            list(self.std)
        )
    }
}

/// What timm divides the crop by to find the side that it resizes to, rounding down.
fn share(resize: usize, crop: usize) -> f64 {
    let exact = crop as f64 / resize as f64;
    match (crop as f64 / exact).floor() as usize == resize {
        true => exact,
        // The quotient came out a little too small.
        false => crop as f64 / (resize as f64 + 0.25),
    }
}

/// The decimal that a number of single precision was written as.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().expect("a number as text is a number")
}

#[cfg(test)]
impl Preprocessing {
    pub(super) fn of_size(resize: usize, crop: usize) -> Self {
        let view = EvalView::Central { resize, crop };
        Self { view, whole: crop, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timm_resizes_to_what_the_evaluation_does() {
        for resize in 1..=512_usize {
            for crop in [1, resize / 2, resize * 7 / 8, resize] {
                let share = share(resize, crop.max(1));
                assert_eq!(
                    (crop.max(1) as f64 / share).floor() as usize,
                    resize,
                    "{crop} of {resize}"
                );
            }
        }
        assert_eq!(share(256, 224), 0.875);
    }

    #[test]
    fn numbers_are_the_decimals_that_people_wrote() {
        let config = Preprocessing::of_size(256, 224).for_timm();
        assert_eq!(config["mean"].to_string(), "[0.485,0.456,0.406]");
        assert_eq!(config["input_size"], json!([3, 224, 224]));
        assert_eq!(config["crop_pct"], 0.875);
    }

    #[test]
    fn whole_images_are_neither_resized_nor_cropped() {
        let whole =
            Preprocessing { view: EvalView::Whole, whole: 32, ..Preprocessing::of_size(1, 1) };
        let config = whole.for_transformers();
        assert_eq!(
            (&config["do_resize"], &config["do_center_crop"]),
            (&json!(false), &json!(false))
        );
        assert!(config.get("size").is_none());
        assert_eq!(whole.for_timm()["input_size"], json!([3, 32, 32]));
        assert!(whole.in_words().contains("as they are"));
    }
}
