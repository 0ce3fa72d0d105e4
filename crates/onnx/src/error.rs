/// What keeps the weights of a model from being read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no model, or a damaged one.
    #[error("no usable ONNX model: {0}; get it again, or export it again")]
    Damaged(String),
    /// A tensor's numbers are in another file than the model.
    #[error(
        "the numbers of `{0}` lie in a file beside the model; write it as one file, in Python \
         onnx.save(onnx.load(FILE), OUT)"
    )]
    External(String),
    /// A tensor has more or fewer numbers than its shape says.
    #[error("`{name}` of shape {shape:?} takes {expected} bytes, and {found} are there")]
    Length {
        /// The tensor.
        name: String,
        /// The lengths of its axes.
        shape: Vec<usize>,
        /// The bytes of so many numbers of its type.
        expected: usize,
        /// The bytes that it has.
        found: usize,
    },
    /// The model has more parts than this crate looks at.
    #[error("it has more than {most} {what}, which no backbone has")]
    Most {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// There is no tensor of this name.
    #[error("there is no tensor `{0}`")]
    Absent(String),
}

impl Error {
    pub(crate) fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged(problem.into())
    }
}
