//! Why something is as it is.

/// Why something is as it is: one word for machines, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In CamelCase, as in a condition.
    pub word: String,
    /// A sentence.
    pub message: String,
}

impl Reason {
    /// A reason from its word and its sentence.
    pub fn new(word: &str, message: impl Into<String>) -> Self {
        Self { word: word.to_owned(), message: message.into() }
    }
}
