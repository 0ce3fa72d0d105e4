//! The arguments that a StableHLO text declares.

use crate::element::{ElementType, Shape};

/// The shapes of the arguments of the function `@main`, or none where the text is written in a way
/// that this reader does not know; then only the plugin's own checks apply.
pub(crate) fn parameters(text: &str) -> Option<Vec<Shape>> {
    let list = &text[text.find("@main(")? + "@main(".len()..];
    let mut shapes = Vec::new();
    for argument in split(list)? {
        shapes.push(shape(argument.split_once(':')?.1.trim_start())?);
    }
    Some(shapes)
}

/// The parts between commas up to the parenthesis that closes the list.
fn split(list: &str) -> Option<Vec<&str>> {
    let (mut parts, mut depth, mut from, mut quoted) = (Vec::new(), 0, 0, false);
    let mut before = ' ';
    for (at, character) in list.char_indices() {
        let arrow = std::mem::replace(&mut before, character) == '-' && character == '>';
        match character {
            '"' => quoted = !quoted,
            _ if quoted || arrow => {}
            ')' if depth == 0 => {
                let last = &list[from..at];
                if !last.trim().is_empty() {
                    parts.push(last);
                }
                return Some(parts);
            }
            '(' | '{' | '[' | '<' => depth += 1,
            ')' | '}' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// The shape that a text such as `tensor<2x3xf32> {…}` begins with.
fn shape(text: &str) -> Option<Shape> {
    let mut rest = text.strip_prefix("tensor<")?.split_once('>')?.0;
    let mut dims = Vec::new();
    while let Some((dim, after)) = rest.split_once('x')
        && let Ok(dim) = dim.parse()
    {
        dims.push(dim);
        rest = after;
    }
    Some(Shape { element: ElementType::of_stablehlo(rest)?, dims })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_past_their_attributes() {
        let text = r#"module @m { func.func public @main(
            %arg0: tensor<2x3xf32> {tf.aliasing_output = 0 : i32, x = "a)b,c", y = #y<() -> i1>},
            %arg1: tensor<ui8> {s = #s<@m, [{"i"}, {}]>}, %arg2: tensor<0x4xi1>) -> (tensor<f32>)"#;
        let shapes: Vec<String> = parameters(text).unwrap().iter().map(Shape::to_string).collect();
        assert_eq!(shapes, ["f32[2,3]", "u8[]", "pred[0,4]"]);
        assert_eq!(parameters("func.func @main() -> tensor<f32>"), Some(vec![]));
    }

    #[test]
    fn what_is_not_known_is_left_to_the_plugin() {
        assert_eq!(parameters("no function"), None);
        assert_eq!(parameters("@main(%a: tensor<?x2xf32>)"), None);
        assert_eq!(parameters("@main(%a: tuple<tensor<f32>>)"), None);
        assert_eq!(parameters("@main(%a: tensor<f32>"), None);
    }
}
