//! A drawing as SVG, in one file.

use std::fmt::Write as _;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;

use super::{Anchor, Color, Item, Outline, Paint, Point, Scene, Text};

pub(super) fn draw(scene: &Scene) -> io::Result<String> {
    let Scene { width, height, title, items } = scene;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" role=\"img\" font-family=\"Ubuntu, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(title)
    );
    for item in items {
        match item {
            Item::Outline { outline, paint } => draw_outline(&mut svg, outline, *paint),
            Item::Text(text) => draw_text(&mut svg, text),
            Item::Picture { corner: [x, y], size: [width, height], image } => {
                let mut png = io::Cursor::new(Vec::new());
                image.write_to(&mut png, ImageFormat::Png).map_err(io::Error::other)?;
                push(
                    &mut svg,
                    format_args!(
                        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
                         preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
                         href=\"data:image/png;base64,{}\"/>\n",
                        STANDARD.encode(png.get_ref())
                    ),
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn push(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a string takes all text");
}

fn draw_outline(svg: &mut String, outline: &Outline, paint: Paint) {
    let paint = painted(paint);
    match outline {
        Outline::Rectangle { corner: [x, y], size: [width, height] } => push(
            svg,
            format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{paint}/>\n"
            ),
        ),
        Outline::Disc { centre: [x, y], radius } => {
            push(svg, format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"{paint}/>\n"));
        }
        Outline::Polygon(points) => {
            push(svg, format_args!("<polygon points=\"{}\"{paint}/>\n", listed(points)));
        }
        Outline::Line(points) => {
            push(svg, format_args!("<polyline points=\"{}\"{paint}/>\n", listed(points)));
        }
    }
}

fn listed(points: &[Point]) -> String {
    points.iter().map(|[x, y]| format!("{x:.2},{y:.2}")).collect::<Vec<_>>().join(" ")
}

fn painted(paint: Paint) -> String {
    let mut attributes = match paint.fill {
        Some((color, 1.0)) => format!(" fill=\"{}\"", hex(color)),
        Some((color, opacity)) => {
            format!(" fill=\"{}\" fill-opacity=\"{opacity}\"", hex(color))
        }
        None => " fill=\"none\"".to_owned(),
    };
    if let Some((color, width)) = paint.stroke {
        push(
            &mut attributes,
            format_args!(
                " stroke=\"{}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"",
                hex(color)
            ),
        );
        if paint.dashed {
            let [dash, gap] = [3.0 * width, 2.0 * width];
            push(&mut attributes, format_args!(" stroke-dasharray=\"{dash} {gap}\""));
        }
    }
    attributes
}

fn draw_text(svg: &mut String, text: &Text) {
    let Text { at: [x, y], text, size, color, anchor } = text;
    let anchor = match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    push(
        svg,
        format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
            hex(*color),
            escaped(text)
        ),
    );
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
