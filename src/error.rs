//! The one error type of the crate: what went wrong, where in the user's model, and what to do about it.

use std::{fmt, panic::Location, sync::Arc};

/// What kind of mistake an [`Error`] reports. Use the predicates of [`Error`] to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes that do not fit an operation, or bad attributes of one.
    Shape,
    /// An element type an operation, a buffer or a file does not have.
    DType,
    /// A name that the plan, the weights or the file does not know, or knows twice.
    Name,
    /// A gradient was asked for that an operation does not have.
    Gradient,
    /// A value is read after it was overwritten in place.
    InPlace,
    /// No usable adapter, a lost device, a refused shader or a driver's validation error.
    Device,
    /// The byte budget or the device's memory is exhausted.
    Memory,
    /// A limit of the device is too small for a value or a kernel.
    Limit,
    /// A checkpoint that cannot be read, written or matched.
    Checkpoint,
    /// Training data that cannot be read or has the wrong form.
    Data,
}

/// A line of the user's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(&'static Location<'static>);

impl Place {
    /// The line of the caller.
    #[track_caller]
    pub fn here() -> Place {
        Place(Location::caller())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0.file(), self.0.line(), self.0.column())
    }
}

/// Everything that can go wrong in this crate.
///
/// The type is opaque and cheap to clone; ask it with [`is_shape`](Error::is_shape) and its
/// neighbours. Its text says what was wrong, then the line of the user's model, then the layer,
/// then a remedy where there is one:
///
/// ```text
/// max_pool: window 3 does not fit 1 with padding 0
///   at src/main.rs:5:48
///   in features.12
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    layer: Option<String>,
    hint: Option<String>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind with its first line.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner { kind, message: message.into(), place: None, layer: None, hint: None, cause: None }))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Inner)) -> Error {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds the line of the user's model.
    pub fn at(self, place: Place) -> Error {
        self.edit(|inner| inner.place = Some(place))
    }

    /// Adds the path of the layer; an empty path adds nothing.
    pub fn in_layer(self, path: &str) -> Error {
        if path.is_empty() { self } else { self.edit(|inner| inner.layer = Some(path.to_owned())) }
    }

    /// Adds a remedy.
    pub fn hint(self, hint: impl Into<String>) -> Error {
        self.edit(|inner| inner.hint = Some(hint.into()))
    }

    /// Adds the error that caused this one.
    pub fn caused_by(self, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.edit(|inner| inner.cause = Some(Arc::new(cause)))
    }

    /// The kind of mistake.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The first line, without place, layer and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Shapes or attributes that do not fit an operation.
    pub fn is_shape(&self) -> bool {
        self.0.kind == ErrorKind::Shape
    }

    /// A wrong element type.
    pub fn is_dtype(&self) -> bool {
        self.0.kind == ErrorKind::DType
    }

    /// An unknown or doubled name.
    pub fn is_name(&self) -> bool {
        self.0.kind == ErrorKind::Name
    }

    /// A missing gradient.
    pub fn is_gradient(&self) -> bool {
        self.0.kind == ErrorKind::Gradient
    }

    /// A missing or lost device, or an error the driver reported.
    pub fn is_device(&self) -> bool {
        self.0.kind == ErrorKind::Device
    }

    /// Too little memory.
    pub fn is_memory(&self) -> bool {
        self.0.kind == ErrorKind::Memory
    }

    /// A device limit that is too small.
    pub fn is_limit(&self) -> bool {
        self.0.kind == ErrorKind::Limit
    }

    /// A checkpoint that cannot be read, written or matched.
    pub fn is_checkpoint(&self) -> bool {
        self.0.kind == ErrorKind::Checkpoint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(place) = self.0.place {
            write!(f, "\n  at {place}")?;
        }
        if let Some(layer) = &self.0.layer {
            write!(f, "\n  in {layer}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        if let Some(cause) = &self.0.cause {
            write!(f, "\n  because: {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause.as_ref() as _)
    }
}

/// Why inputs do not fit an operation, before the graph adds the operation's name, place and layer.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// [`ErrorKind::Shape`], [`ErrorKind::DType`] or [`ErrorKind::Limit`].
    pub kind: ErrorKind,
    /// The reason, with the shapes or types that clash.
    pub reason: String,
}

impl Misfit {
    /// Shapes or attributes that do not fit.
    pub fn shape(reason: impl Into<String>) -> Misfit {
        Misfit { kind: ErrorKind::Shape, reason: reason.into() }
    }

    /// Element types that do not fit.
    pub fn dtype(reason: impl Into<String>) -> Misfit {
        Misfit { kind: ErrorKind::DType, reason: reason.into() }
    }

    /// A device limit that is too small.
    pub fn limit(reason: impl Into<String>) -> Misfit {
        Misfit { kind: ErrorKind::Limit, reason: reason.into() }
    }

    /// The error of operation `op`.
    pub fn of(self, op: &str) -> Error {
        Error::new(self.kind, format!("{op}: {}", self.reason))
    }
}
