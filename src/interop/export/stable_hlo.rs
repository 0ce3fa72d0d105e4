//! The program of images to features as StableHLO text.
//!
//! The weights are arguments, by torchvision's names in comments. As constants they would be in the text,
//! four bytes as eight characters, and each compiler would fold what it should fetch; as arguments one text
//! serves every training of the same network.

use graph::{Graph, Node, Program, Type, concatenate};

use super::dtype::Dtype;
use super::format::Parts;
use super::source::Export;
use crate::augment::views::EvalView;
use crate::config::Precision;
use crate::model::params::{Layout, Weights};
use crate::model::{Network, Phase};
use crate::{Error, Result};

/// What stands before the backbone's names within a network; torchvision's stand alone.
const BACKBONE: &str = "backbone.";

/// The text, for `images` images of `size` × `size` pixels.
///
/// # Errors
/// [`Error::Data`] where the numbers are to be of another type than f32, no size is known, or there are no
/// heads.
pub(super) fn file(
    export: &Export,
    parts: Parts,
    images: usize,
    size: Option<usize>,
) -> Result<String> {
    if parts.dtype != Dtype::F32 {
        let problem = "a StableHLO text holds no numbers, so there is nothing to round; leave their type at f32, and \
                       round the weights that it is given";
        return Err(Error::data(export.path(), problem));
    }
    let size = size.or_else(|| size_of_views(export)).ok_or_else(|| {
        Error::data(export.path(), "does not say what it was trained on; name the images' size")
    })?;
    let graph = Graph::new();
    let pixels = graph.parameter("images", Type::f32([images, 3, size, size]));
    let made = match parts.heads {
        true => whole(export, pixels)?,
        false => backbone(export, pixels),
    };
    let program = Program::new(&graph, &made.inputs, &made.outputs)
        .expect("every parameter was listed, each once");
    let names = program.inputs().iter().enumerate();
    let comments: String =
        names.map(|(at, input)| format!("// %arg{at}: {} {}\n", input.name, input.ty)).collect();
    Ok(comments + &program.text())
}

/// The side of the views by which the encoder is evaluated or, where those are as large as the images, was
/// trained.
fn size_of_views(export: &Export) -> Option<usize> {
    let config = export.config()?;
    Some(match EvalView::of_config(&config.eval) {
        EvalView::Central { crop, .. } => crop,
        EvalView::Whole => config.views.global.size,
    })
}

/// What a program takes and makes.
struct Made<'g> {
    inputs: Vec<Node<'g>>,
    outputs: Vec<(&'static str, Node<'g>)>,
}

fn backbone<'g>(export: &Export, images: Node<'g>) -> Made<'g> {
    let (network, declaration) = export.network();
    let layouts = [&declaration.trained, &declaration.running];
    let (weights, mut inputs) = arguments(images.graph(), layouts);
    inputs.insert(0, images);
    let features = network.forward(images, &weights, Phase::Eval);
    Made { inputs, outputs: vec![("features", features)] }
}

fn whole<'g>(export: &Export, images: Node<'g>) -> Result<Made<'g>> {
    // What has heads is a checkpoint, which has its settings.
    export.heads()?;
    let config = export.config().expect("a checkpoint has its settings");
    let network = Network::new(&config.model, Precision::F32);
    let (weights, mut inputs) = arguments(images.graph(), network.layouts());
    inputs.insert(0, images);
    let features = network.backbone.forward(images, &weights, Phase::Eval);
    let outputs = vec![("features", features), ("embedding", network.embed(images, &weights))];
    Ok(Made { inputs, outputs })
}

/// The tensors of a network as arguments by name.
fn arguments<'g>(graph: &'g Graph, layouts: [&Layout; 2]) -> (Weights<'g>, Vec<Node<'g>>) {
    let each = layouts.map(|layout| {
        let entries = layout.entries().iter();
        let argument = entries.map(|entry| {
            let name = entry.name.strip_prefix(BACKBONE).unwrap_or(&entry.name);
            graph.parameter(name, Type::f32(entry.shape.clone()))
        });
        argument.collect::<Vec<Node<'g>>>()
    });
    let flat = each.each_ref().map(|nodes| {
        let flat: Vec<Node<'g>> = nodes.iter().map(|node| node.flatten()).collect();
        (!flat.is_empty()).then(|| concatenate(&flat, 0))
    });
    (Weights::of(layouts, flat), each.concat())
}
