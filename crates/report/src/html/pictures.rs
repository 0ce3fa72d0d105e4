//! Pictures: what the network sees, and what it has made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Section;
use super::text::escape;
use crate::Illustration;

/// The run's images and their views.
pub(super) fn preview_section(preview: Option<&[u8]>) -> Section {
    let body = preview.map_or_else(String::new, |png| {
        figure(
            png,
            "A grid: each row is a training image and its global and local views",
            "Training images, each with its global and local views as they enter the network. A person should still \
             recognise the image in its global views.",
        )
    });
    Section::new("views", "What the network sees", body)
}

/// Neighbours, a map, and with LoGo which crops attract and which repel.
pub(super) fn learned_section(pictures: &[(Illustration, Vec<u8>)]) -> Section {
    let shown = |(picture, png): &(Illustration, Vec<u8>)| {
        let (title, caption) = told(*picture);
        format!("<h3>{}</h3>\n{}", escape(title), figure(png, title, caption))
    };
    Section::new("learned", "What it has learned", pictures.iter().map(shown).collect())
}

/// The heading of a picture, and what is to be seen on it.
fn told(picture: Illustration) -> (&'static str, &'static str) {
    match picture {
        Illustration::Neighbours => (
            "Test images and their nearest neighbours",
            "Left a test image, beside it the images of the bank with the most similar features. What they have in common \
             is what the backbone sees; where the class is another, look whether the mistake is one that a person \
             would make.",
        ),
        Illustration::Map => (
            "Test images in the plane",
            "Each mark is a test image, near to those with similar features; colour and shape say its class, which the \
             backbone was never told.",
        ),
        Illustration::Affinity => (
            "Which local crops attract, which repel",
            "Near to the global view are the local crops that show what the image is about. f\u{2009}d, which LoGo learns beside \
             the encoder, is high for crops that look like parts of one image; LoGo pushes those apart.",
        ),
    }
}

fn figure(png: &[u8], title: &str, caption: &str) -> String {
    format!(
        "<figure><div class=\"preview\"><img alt=\"{}\" src=\"data:image/png;base64,{}\"></div>\
         <figcaption>{}</figcaption></figure>\n",
        escape(title),
        STANDARD.encode(png),
        escape(caption),
    )
}
