//! What a name says of the role that a network has.

/// Words of names of a network that follows the one that is trained: of MoCo's `encoder_k`, BYOL's
/// `target_network`, DINO's `teacher`, solo-learn's `momentum_backbone`, timm's `state_dict_ema`.
const MOMENTUM: [&str; 6] = ["ema", "k", "key", "momentum", "target", "teacher"];

/// Whether a network of this name follows another one.
pub(crate) fn is_momentum(name: &str) -> bool {
    words(name).any(|word| MOMENTUM.contains(&word))
}

/// The words of a name.
pub(crate) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '_'])
}
