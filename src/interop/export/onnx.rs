//! An ONNX model of images to features, of any number and size.

use graph::UnitPlan;
use onnx::{Attribute, Dim, Element, Graph};

use super::dtype::Dtype;
use super::format::Parts;
use super::source::Export;
use crate::Result;
use crate::interop::tensors;
use crate::model::params::{State, TensorData};
use crate::presets;

/// What batch norms add to a variance, as PyTorch's do.
const EPSILON: f64 = 1e-5;
/// The images, `[batch, 3, height, width]`.
const IMAGES: &str = "images";
/// The backbone's output, `[batch, dim]`.
const FEATURES: &str = "features";
/// The projector's, `[batch, dim]`.
const EMBEDDING: &str = "embedding";

/// The bytes of the model. Its numbers are computed in single precision whatever they are stored as.
///
/// # Errors
/// As [`Export::stored`].
pub(super) fn file(export: &Export, parts: Parts, fold_batch_norm: bool) -> Result<Vec<u8>> {
    let mut made = Network {
        graph: Graph::new(&export.architecture().name()),
        export,
        dtype: parts.dtype,
        folds: fold_batch_norm,
    };
    let any = |name| Dim::Any(name);
    made.graph.input(IMAGES, &[any("batch"), Dim::Fixed(3), any("height"), any("width")]);
    let dim = made.backbone()?;
    made.graph.output(FEATURES, &[any("batch"), Dim::Fixed(dim)]);
    if parts.heads {
        let dim = made.projector(export.heads()?)?;
        made.graph.output(EMBEDDING, &[any("batch"), Dim::Fixed(dim)]);
    }
    if let Some(config) = export.config() {
        made.graph.metadata(tensors::KEY, &presets::to_toml(config));
    }
    Ok(made.graph.model(env!("CARGO_PKG_VERSION")))
}

/// A model in the making.
struct Network<'a> {
    graph: Graph,
    export: &'a Export,
    dtype: Dtype,
    folds: bool,
}

/// What a batch norm does to each channel: times a factor, plus a term.
struct Affine {
    factors: Vec<f64>,
    terms: Vec<f64>,
}

impl Network<'_> {
    /// Images to features; how many they are.
    fn backbone(&mut self) -> Result<usize> {
        let (network, _) = self.export.network();
        let plan = network.plan();
        let rings = self.export.architecture().stem.rings();
        let mut x = self.unit(IMAGES, ["conv1", "bn1"], &plan.stem, rings)?;
        x = self.relu(&x, "relu");
        if plan.max_pool {
            let ints = |number| Attribute::Ints(vec![number; 2]);
            let attributes = [
                ("kernel_shape", ints(3)),
                ("strides", ints(2)),
                ("pads", Attribute::Ints(vec![1; 4])),
            ];
            self.graph.node("MaxPool", &[&x], "maxpool", &attributes);
            x = "maxpool".to_owned();
        }
        let blocks = self.export.architecture().blocks;
        let names = (1..).zip(blocks).flat_map(|(stage, count)| {
            (0..count).map(move |block| format!("layer{stage}.{block}"))
        });
        for (name, block) in names.zip(&plan.blocks) {
            let mut past = x.clone();
            for (number, unit) in (1..).zip(&block.main) {
                let names = ["conv", "bn"].map(|part| format!("{name}.{part}{number}"));
                past = self.unit(&past, names.each_ref().map(String::as_str), unit, 0)?;
                if number < block.main.len() {
                    past = self.relu(&past, &format!("{name}.relu{number}"));
                }
            }
            let beside = match &block.shortcut {
                Some(unit) => {
                    let names = ["0", "1"].map(|part| format!("{name}.downsample.{part}"));
                    self.unit(&x, names.each_ref().map(String::as_str), unit, 0)?
                }
                None => x,
            };
            let sum = format!("{name}.add");
            self.graph.node("Add", &[&past, &beside], &sum, &[]);
            x = self.relu(&sum, &format!("{name}.relu"));
        }
        self.graph.node("GlobalAveragePool", &[&x], "avgpool", &[]);
        self.graph.node("Flatten", &["avgpool"], FEATURES, &[("axis", Attribute::Int(1))]);
        Ok(plan.features())
    }

    /// Features to the embedding; how many numbers it has.
    fn projector(&mut self, heads: &State) -> Result<usize> {
        let name = |layer: usize| format!("projector.layers.{layer}");
        let is_there =
            |layer: &usize| heads.contains_key(&format!("{}.linear.weight", name(*layer)));
        let layers = (0..).take_while(is_there).count();
        let (mut x, mut dim) = (FEATURES.to_owned(), 0);
        for layer in 0..layers {
            dim = heads[&format!("{}.linear.bias", name(layer))].values.len();
            x = self.linear(heads, &x, &name(layer))?;
            if layer + 1 < layers {
                x = self.relu(&x, &format!("{}.relu", name(layer)));
            }
        }
        self.graph.node("Identity", &[&x], EMBEDDING, &[]);
        Ok(dim)
    }

    /// A convolution and its batch norm on `x`, which gets so many rings of zeros more than keep its size; the
    /// value that they make.
    fn unit(
        &mut self,
        x: &str,
        [conv, norm]: [&str; 2],
        unit: &UnitPlan,
        rings: usize,
    ) -> Result<String> {
        let export = self.export;
        let weight = &export.backbone()[&format!("{conv}.weight")];
        let affine = Affine::of(export.backbone(), norm);
        let (weight, bias) = match &affine {
            Some(affine) if self.folds => (affine.folded(weight), Some(affine.terms(None))),
            _ => (weight.clone(), None),
        };
        let mut inputs = vec![x.to_owned(), self.tensor(&format!("{conv}.weight"), &weight)?];
        if let Some(bias) = &bias {
            inputs.push(self.tensor(&format!("{conv}.bias"), bias)?);
        }
        let [kernel, stride] =
            [unit.kernel, unit.stride].map(|n| Attribute::Ints(vec![n as i64; 2]));
        let padding = Attribute::Ints(vec![(unit.kernel / 2 + rings) as i64; 4]);
        let attributes = [("kernel_shape", kernel), ("strides", stride), ("pads", padding)];
        self.node("Conv", &inputs, conv, &attributes);
        match bias {
            Some(_) => Ok(conv.to_owned()),
            None => self.batch_norm(export.backbone(), conv, norm),
        }
    }

    /// A linear layer and its batch norm, where it has one, on `x`; the value that they make.
    fn linear(&mut self, heads: &State, x: &str, name: &str) -> Result<String> {
        let [linear, norm] = ["linear", "norm"].map(|part| format!("{name}.{part}"));
        let [weight, bias] =
            ["weight", "bias"].map(|part| heads[&format!("{linear}.{part}")].clone());
        let affine = Affine::of(heads, &norm);
        let (weight, bias) = match &affine {
            Some(affine) if self.folds => (affine.folded(&weight), affine.terms(Some(&bias))),
            _ => (weight, bias),
        };
        let inputs = [
            x.to_owned(),
            self.tensor(&format!("{linear}.weight"), &weight)?,
            self.tensor(&format!("{linear}.bias"), &bias)?,
        ];
        self.node("Gemm", &inputs, &linear, &[("transB", Attribute::Int(1))]);
        match affine {
            Some(_) if !self.folds => self.batch_norm(heads, &linear, &norm),
            _ => Ok(linear),
        }
    }

    /// The batch norm `norm` on `x`, with its running statistics.
    fn batch_norm(&mut self, state: &State, x: &str, norm: &str) -> Result<String> {
        let channels = state[&format!("{norm}.running_var")].values.len();
        // One without γ and β has them here, and they change nothing.
        let parts = [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
        let mut inputs = vec![x.to_owned()];
        for (part, absent) in parts {
            let name = format!("{norm}.{part}");
            let constant = || TensorData::new(vec![absent; channels], [channels]);
            let tensor = state.get(&name).cloned().unwrap_or_else(constant);
            inputs.push(self.tensor(&name, &tensor)?);
        }
        let epsilon = [("epsilon", Attribute::Float(EPSILON as f32))];
        self.node("BatchNormalization", &inputs, norm, &epsilon);
        Ok(norm.to_owned())
    }

    fn relu(&mut self, x: &str, name: &str) -> String {
        self.graph.node("Relu", &[x], name, &[]);
        name.to_owned()
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[String],
        output: &str,
        with: &[(&str, Attribute)],
    ) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.graph.node(operator, &inputs, output, with);
    }

    /// Puts a tensor into the model as it is to be stored; the value of single precision that it is.
    fn tensor(&mut self, name: &str, tensor: &TensorData) -> Result<String> {
        let stored = self.export.number(name, tensor, self.dtype)?;
        let element = match self.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::Bf16 => Element::Bf16,
        };
        self.graph.tensor(name, element, &stored.shape, stored.bytes);
        if element == Element::F32 {
            return Ok(name.to_owned());
        }
        let single = format!("{name}.f32");
        self.graph.node("Cast", &[name], &single, &[("to", Attribute::Element(Element::F32))]);
        Ok(single)
    }
}

impl Affine {
    /// What the batch norm `norm` does; none where there is no such norm.
    fn of(state: &State, norm: &str) -> Option<Self> {
        let part = |part: &str| state.get(&format!("{norm}.{part}")).map(|tensor| &tensor.values);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let channel = |at: usize| {
            let value = |of: Option<&Vec<f32>>, absent| of.map_or(absent, |of| f64::from(of[at]));
            let factor = value(part("weight"), 1.0) / (f64::from(variance[at]) + EPSILON).sqrt();
            (factor, value(part("bias"), 0.0) - f64::from(mean[at]) * factor)
        };
        let (factors, terms) = (0..mean.len()).map(channel).unzip();
        Some(Self { factors, terms })
    }

    /// Weights whose first axis are the channels, each times its factor.
    fn folded(&self, weight: &TensorData) -> TensorData {
        let each = (weight.values.len() / self.factors.len().max(1)).max(1);
        let rows = weight.values.chunks(each).zip(&self.factors);
        let values = rows.flat_map(|(row, factor)| {
            row.iter().map(move |&value| (f64::from(value) * factor) as f32)
        });
        TensorData::new(values.collect(), weight.shape.clone())
    }

    /// The bias behind the folded weights, in the place of `bias`, where there was one.
    fn terms(&self, bias: Option<&TensorData>) -> TensorData {
        let channels = self.terms.len();
        let own = |at: usize| bias.map_or(0.0, |bias| f64::from(bias.values[at]));
        let term = |at: usize| (self.terms[at] + own(at) * self.factors[at]) as f32;
        TensorData::new((0..channels).map(term).collect(), [channels])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parts: &[(&str, &[f32])]) -> State {
        let tensor = |(name, values): &(&str, &[f32])| {
            ((*name).to_owned(), TensorData::new(values.to_vec(), [values.len()]))
        };
        parts.iter().map(tensor).collect()
    }

    #[test]
    fn a_folded_norm_is_the_norm() {
        let norm = state(&[
            ("bn.weight", &[2.0, 3.0]),
            ("bn.bias", &[0.5, -0.5]),
            ("bn.running_mean", &[1.0, -2.0]),
            ("bn.running_var", &[4.0, 0.25]),
        ]);
        let affine = Affine::of(&norm, "bn").unwrap();
        let weight = TensorData::new(vec![1.0, 2.0, 3.0, 4.0], [2, 2]);
        let (folded, terms) = (affine.folded(&weight), affine.terms(None));
        let x = [0.7_f32, -1.3];
        for row in 0..2 {
            let dot = |w: &TensorData| w.values[2 * row] * x[0] + w.values[2 * row + 1] * x[1];
            let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
                .map(|part| norm[&format!("bn.{part}")].values[row]);
            let expected = (dot(&weight) - mean) / (variance + 1e-5).sqrt() * gamma + beta;
            assert!((dot(&folded) + terms.values[row] - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn a_norm_without_affine_part_folds_into_a_bias_that_is_there() {
        let norm = state(&[("n.running_mean", &[1.0]), ("n.running_var", &[4.0])]);
        let affine = Affine::of(&norm, "n").unwrap();
        let terms = affine.terms(Some(&TensorData::new(vec![3.0], [1])));
        assert!((terms.values[0] - 1.0).abs() < 1e-5, "(3 - 1) / 2: {terms:?}");
        assert!(Affine::of(&norm, "other").is_none());
    }
}
