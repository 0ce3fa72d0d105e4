//! A map as one page to move about in.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};
use logo_ssl::{Error, Result};
use serde_json::json;

use super::map::MapPicture;
use super::{class_name, marks, thumbnail};

/// Side of an image of the page, pixels.
const SIDE: u32 = 48;
const QUALITY: u8 = 85;

const PAGE: &str = include_str!("assets/map.html");
const STYLE: &str = include_str!("assets/map.css");
const SCRIPT: &str = include_str!("assets/map.js");

/// The page, which needs no other file and no network.
pub(super) fn page(picture: &MapPicture<'_>) -> Result<String> {
    let map = picture.map;
    let columns = (map.images.len() as f64).sqrt().ceil() as u32;
    let atlas = atlas(picture, columns)?;
    let classes = picture.classes();
    let class = |&class: &usize| {
        let ([red, green, blue], form) = marks::of_class(class);
        json!({ "name": class_name(picture.images.classes(), class), "color": [red, green, blue],
            "corners": marks::corners(form) })
    };
    let number = |label: usize| classes.binary_search(&label).expect("a class that is here");
    let places = picture.places().into_iter().zip(&map.images).zip(&map.labels);
    let points = places.map(|(([x, y], &image), &label)| {
        json!([rounded(x), rounded(y), number(label), picture.images.name(image)])
    });
    let data = json!({
        "classes": classes.iter().map(class).collect::<Vec<_>>(),
        "points": points.collect::<Vec<_>>(),
        "side": SIDE,
        "columns": columns,
        "atlas": format!("data:image/jpeg;base64,{}", STANDARD.encode(atlas)),
    });
    // What would end the script is written otherwise.
    let data = data.to_string().replace('<', "\\u003c");
    Ok(PAGE
        .replace("{{title}}", &escaped(&picture.title()))
        .replace("{{what}}", &escaped(picture.what))
        .replace("{{trust}}", &escaped(&picture.trust()))
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        .replace("{{data}}", &data))
}

fn rounded(x: f32) -> f64 {
    (f64::from(x) * 1e5).round() / 1e5
}

/// All images as one, row by row: JPEG.
fn atlas(picture: &MapPicture<'_>, columns: u32) -> Result<Vec<u8>> {
    let rows = (picture.map.images.len() as u32).div_ceil(columns);
    let mut atlas = RgbImage::from_pixel(columns * SIDE, rows * SIDE, Rgb([255; 3]));
    for (at, &image) in picture.map.images.iter().enumerate() {
        let small = thumbnail::square(picture.images, image, SIDE)?;
        let small = resize(&small, SIDE, SIDE, FilterType::Triangle);
        let [x, y] = [at as u32 % columns, at as u32 / columns].map(|at| i64::from(at * SIDE));
        replace(&mut atlas, &small, x, y);
    }
    let mut encoded = vec![];
    JpegEncoder::new_with_quality(&mut encoded, QUALITY)
        .encode_image(&atlas)
        .map_err(|error| Error::io("encode", "the images of a map")(io::Error::other(error)))?;
    Ok(encoded)
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}
