//! What PyTorch calls the modules that nodes are of.

/// The module that a node of this name is of, as PyTorch's exporter names nodes: by the path of scopes and
/// the operator, `/layer1/layer1.0/conv1/Conv`. A scope that goes on with the name of the one above it takes
/// its place.
pub(crate) fn module_of_node(name: &str) -> Option<String> {
    let (scopes, _) = name.strip_prefix('/')?.rsplit_once('/')?;
    let mut path: Vec<&str> = Vec::new();
    for scope in scopes.split('/') {
        let goes_on =
            |above: &&str| scope.strip_prefix(*above).is_some_and(|rest| rest.starts_with('.'));
        if path.last().is_some_and(goes_on) {
            path.pop();
        }
        path.push(scope);
    }
    Some(path.join("."))
}

/// The batch norm behind the convolution `module`: `bn1` behind `conv1`, and number 1 of a sequence behind
/// number 0.
pub(crate) fn norm_behind(module: &str) -> Option<String> {
    let at = module.rfind('.').map_or(0, |dot| dot + 1);
    let (path, last) = module.split_at(at);
    let is_number = |text: &str| text.parse::<u32>().ok();
    let norm = match last.strip_prefix("conv") {
        Some(number) if is_number(number).is_some() => format!("bn{number}"),
        _ => is_number(last)?.checked_add(1)?.to_string(),
    };
    Some(format!("{path}{norm}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_of_the_modules_that_pytorch_names() {
        for (node, module) in [
            ("/conv1/Conv", "conv1"),
            ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
            ("/layer2/layer2.0/downsample/downsample.0/Conv", "layer2.0.downsample.0"),
            ("/encoder/layer1/layer1.10/bn2/BatchNormalization", "encoder.layer1.10.bn2"),
            ("/layer1/layer10/Conv", "layer1.layer10"),
        ] {
            assert_eq!(module_of_node(node).as_deref(), Some(module));
        }
        for node in ["Conv_0", "node_conv2d", "/Conv", ""] {
            assert_eq!(module_of_node(node), None, "{node}");
        }
    }

    #[test]
    fn a_batch_norm_stands_behind_its_convolution() {
        for (convolution, norm) in [
            ("conv1", "bn1"),
            ("encoder.layer3.22.conv3", "encoder.layer3.22.bn3"),
            ("layer2.0.downsample.0", "layer2.0.downsample.1"),
            ("0", "1"),
        ] {
            assert_eq!(norm_behind(convolution).as_deref(), Some(norm));
        }
        for other in ["patch_embed.proj", "conv", "convolution", "layer1.0.conv1x", "4294967295"] {
            assert_eq!(norm_behind(other), None, "{other}");
        }
    }
}
