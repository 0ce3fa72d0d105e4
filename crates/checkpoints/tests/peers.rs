//! Checkpoints as other programs write them (`tests/fixtures/make_checkpoints.py` at the root): each backbone is
//! found, its tensors get torchvision's names, and their numbers are those that were saved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use logo_ssl_checkpoints::{Backbone, Checkpoint, Element, Head, Layer};

/// Files with one backbone, or one under two names, and its prefixes.
const ONE: [(&str, &[&str]); 15] = [
    ("torchvision.pth", &[""]),
    ("torchvision_legacy.pth", &[""]),
    ("whole_module.pth", &["1."]),
    ("f64.pth", &[""]),
    ("one_storage.pth", &[""]),
    ("channels_last.pth", &[""]),
    ("simsiam.pth.tar", &["state_dict.module.encoder."]),
    ("lightly.ckpt", &["state_dict.backbone."]),
    ("lightly_own.ckpt", &["state_dict.backbone."]),
    ("lightly_no_relu.ckpt", &["state_dict.backbone."]),
    ("solo_learn.ckpt", &["state_dict.backbone."]),
    ("vissl.torch", &["classy_state_dict.base_model.model.trunk._feature_blocks."]),
    ("logo_simsiam.pt", &["model.backbone.", "model.encoder.0."]),
    ("timm.pth", &["state_dict."]),
    ("timm.safetensors", &[""]),
];
/// Files with two that differ: the trained one's prefix, and the one's that follows it.
const TWO: [(&str, &str, &str); 5] = [
    ("moco_v2.pth.tar", "state_dict.module.encoder_q.", "state_dict.module.encoder_k."),
    ("moco_v3.pth.tar", "state_dict.module.base_encoder.", "state_dict.module.momentum_encoder."),
    ("dino.pth", "student.module.backbone.", "teacher.backbone."),
    ("byol.pth", "online_network_state_dict.encoder.", "target_network_state_dict.encoder."),
    ("logo_official.pth.tar", "state_dict.module.encoder_q.f.", "state_dict.module.encoder_k.f."),
];

fn open(file: &str) -> Checkpoint {
    open_in("checkpoints", file)
}

fn open_in(folder: &str, file: &str) -> Checkpoint {
    let fixtures: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    Checkpoint::open(&fixtures.join(folder).join(file)).unwrap()
}

/// What make_backbones.py puts at `name`.
fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |key, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let (factor, offset) = match *shape {
        [_, input, height, width] => ((6.0 / (input * height * width) as f64).sqrt(), 0.0),
        _ if name.ends_with("running_var") => (0.5, 1.0),
        _ if name.ends_with("weight") => (0.2, 0.8),
        _ => (0.2, 0.0),
    };
    let numbers = (1..=shape.iter().product::<usize>() as u64).map(|index| {
        let z = key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        (offset + factor * unit) as f32
    });
    numbers.collect()
}

fn rounded(numbers: Vec<f32>, element: Element) -> Vec<f32> {
    match element {
        Element::F16 => numbers.into_iter().map(|x| f16::from_f32(x).to_f32()).collect(),
        Element::Bf16 => numbers.into_iter().map(|x| bf16::from_f32(x).to_f32()).collect(),
        _ => numbers,
    }
}

/// Holds every tensor of a backbone to the formula, whose names begin with `seed`.
fn check(file: &str, checkpoint: &Checkpoint, backbone: &Backbone, seed: &str) {
    let tensors = backbone.tensors(checkpoint);
    let parts: BTreeSet<&str> =
        tensors.keys().map(|ours| ours.split('.').next().unwrap()).collect();
    let whole = ["bn1", "conv1", "layer1", "layer2", "layer3", "layer4"];
    assert_eq!(parts, BTreeSet::from(whole), "{file}");
    assert!(tensors.len() >= 50, "{file} has {} tensors", tensors.len());
    for (ours, theirs) in tensors {
        let info = &checkpoint.tensors()[theirs];
        let numbers = checkpoint.numbers(theirs).unwrap();
        // The optimizer has taken a step of this one; and lightly's own network has its own names.
        if file == "simsiam.pth.tar" && ours == "conv1.weight" {
            continue;
        }
        let name = match file.starts_with("lightly_") {
            true => ours.replace("downsample", "shortcut"),
            false => ours.clone(),
        };
        let expected = tensor(&format!("{seed}{name}"), &info.shape);
        assert_eq!(numbers, rounded(expected, info.element), "{file}: {theirs} as {ours}");
    }
}

#[test]
fn one_backbone_is_found_whatever_its_names_begin_with() {
    for (file, prefixes) in ONE {
        let checkpoint = open(file);
        let found = Backbone::find(&checkpoint);
        let those: Vec<&str> = found.iter().map(|backbone| backbone.prefix.as_str()).collect();
        assert_eq!(those, prefixes, "{file}");
        for backbone in &found {
            check(file, &checkpoint, backbone, "");
        }
    }
}

#[test]
fn two_backbones_are_told_apart() {
    for (file, trained, following) in TWO {
        let checkpoint = open(file);
        let found = Backbone::find(&checkpoint);
        assert_eq!(found.len(), 2, "{file}: {found:?}");
        for (prefix, seed) in [(trained, ""), (following, "momentum.")] {
            let backbone = found.iter().find(|backbone| backbone.prefix == prefix);
            check(file, &checkpoint, backbone.expect(prefix), seed);
        }
    }
}

#[test]
fn a_backbone_answers_to_whole_parts_of_its_prefix() {
    let found = Backbone::find(&open("moco_v2.pth.tar"));
    let answering = |asked: &str| found.iter().filter(|b| b.answers_to(asked)).count();
    for (asked, count) in [
        ("encoder_q", 1),
        ("encoder_q.", 1),
        ("module.encoder_q", 1),
        ("state_dict.module.encoder_k.", 1),
        ("module", 2),
        ("encoder", 0),
        ("q", 0),
        ("", 0),
    ] {
        assert_eq!(answering(asked), count, "{asked}");
    }
}

#[test]
fn what_lies_between_the_parts_of_a_sequence_is_counted() {
    for (file, between) in
        [("lightly.ckpt", Some(2)), ("lightly_no_relu.ckpt", Some(0)), ("lightly_own.ckpt", None)]
    {
        assert_eq!(Backbone::find(&open(file))[0].modules_between(), between, "{file}");
    }
}

/// A head in a word for each layer: its outputs, `b` where it has a bias, and its norm.
fn in_words(head: &Head) -> String {
    let layer = |Layer { shape, bias, norm, .. }: &Layer| {
        let norm = match norm {
            None => "",
            Some(norm) if norm.affine.is_some() => "+affine",
            Some(_) => "+norm",
        };
        format!("{}{}{norm}", shape[0], if bias.is_some() { "b" } else { "" })
    };
    head.layers.iter().map(layer).collect::<Vec<_>>().join(" ")
}

#[test]
fn heads_are_chains_of_layers_beside_a_backbone() {
    let of_simsiam = [
        ("state_dict.module.encoder.fc", "8+affine 8+affine 5b+norm"),
        ("state_dict.module.predictor", "4+affine 5b"),
    ];
    let of_moco =
        [("state_dict.module.encoder_k.fc", "8b 5b"), ("state_dict.module.encoder_q.fc", "8b 5b")];
    let of_byol = [
        ("state_dict.prediction_head", "4+affine 5b"),
        ("state_dict.projection_head", "4+affine 5b"),
        ("state_dict.projection_head_momentum", "4+affine 5b"),
    ];
    let of_solo_learn = [("state_dict.classifier", "3b"), ("state_dict.projector", "4+affine 3b")];
    for (folder, file, expected) in [
        ("beginnings", "simsiam.pth.tar", &of_simsiam[..]),
        ("beginnings", "moco.pth.tar", &of_moco),
        ("beginnings", "byol.ckpt", &of_byol),
        ("checkpoints", "solo_learn.ckpt", &of_solo_learn),
        ("checkpoints", "torchvision.pth", &[("fc", "3b")]),
        ("checkpoints", "vissl.torch", &[("classy_state_dict.base_model.model.heads", "3b")]),
        ("checkpoints", "dino.pth", &[]),
    ] {
        let checkpoint = open_in(folder, file);
        let heads = Head::find(&checkpoint, &Backbone::find(&checkpoint));
        let found: Vec<(&str, String)> =
            heads.iter().map(|head| (head.prefix.as_str(), in_words(head))).collect();
        let expected: Vec<(&str, String)> =
            expected.iter().map(|&(prefix, words)| (prefix, words.to_owned())).collect();
        assert_eq!(found, expected, "{file}");
        for head in &heads {
            assert_eq!(head.is_predictor(), head.prefix.contains("predict"), "{}", head.prefix);
        }
    }
}

#[test]
fn what_follows_the_encoder_says_so_by_its_name() {
    for (file, trained, following) in TWO {
        let found = Backbone::find(&open(file));
        let momentum = |prefix| found.iter().find(|b| b.prefix == prefix).unwrap().is_momentum();
        assert!(!momentum(trained) && momentum(following), "{file}");
    }
    let checkpoint = open_in("beginnings", "moco.pth.tar");
    let backbones = Backbone::find(&checkpoint);
    for head in Head::find(&checkpoint, &backbones) {
        let nearest = backbones.iter().max_by_key(|backbone| head.nearness(backbone)).unwrap();
        assert!(head.prefix.starts_with(&nearest.prefix), "{} on {}", head.prefix, nearest.prefix);
        assert_eq!(head.is_momentum(), nearest.is_momentum());
    }
}

#[test]
fn a_counter_is_a_whole_number_and_weights_are_none() {
    let checkpoint = open_in("beginnings", "moco.pth.tar");
    assert_eq!(checkpoint.integer("state_dict.module.queue_ptr").unwrap(), 4);
    let problem = checkpoint.integer("state_dict.module.queue").unwrap_err().to_string();
    assert!(problem.contains("is F32 of shape [5, 12]"), "{problem}");
    let problem = checkpoint.numbers("state_dict.module.queue_ptr").unwrap_err().to_string();
    assert!(problem.contains("`state_dict.module.queue_ptr` is I64"), "{problem}");
}
