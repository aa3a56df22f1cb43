//! A value in memory: shape and data, dense and row-major.

use crate::shape::{DType, Shape};

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// Masks.
    Bool(Vec<bool>),
}

/// A dense row-major array with its shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

/// A Rust type that can be an element of a tensor.
pub trait Element: Copy + Send + Sync + 'static {
    /// The element type as a value.
    const DTYPE: DType;
    /// The elements as a slice, if the tensor holds this type.
    fn slice(data: &Data) -> Option<&[Self]>;
    /// The elements as a mutable slice, if the tensor holds this type.
    fn slice_mut(data: &mut Data) -> Option<&mut [Self]>;
    /// Wraps owned elements.
    fn wrap(elements: Vec<Self>) -> Data;
}

macro_rules! element {
    ($rust:ty, $name:ident) => {
        impl Element for $rust {
            const DTYPE: DType = DType::$name;
            fn slice(data: &Data) -> Option<&[Self]> {
                if let Data::$name(elements) = data { Some(elements) } else { None }
            }
            fn slice_mut(data: &mut Data) -> Option<&mut [Self]> {
                if let Data::$name(elements) = data { Some(elements) } else { None }
            }
            fn wrap(elements: Vec<Self>) -> Data {
                Data::$name(elements)
            }
        }
    };
}
element!(f32, F32);
element!(f64, F64);
element!(i32, I32);
element!(bool, Bool);

impl Tensor {
    /// A tensor of the given elements; `None` when their number is not the shape's.
    pub fn new<T: Element>(shape: impl Into<Shape>, elements: Vec<T>) -> Option<Tensor> {
        let shape = shape.into();
        (shape.checked_elements()? == elements.len()).then(|| Tensor { shape, data: T::wrap(elements) })
    }

    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { shape: Shape::default(), data: T::wrap(vec![value]) }
    }

    /// All elements zero (or false).
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        let shape = shape.into();
        let count = shape.elements();
        let data = match dtype {
            DType::F32 => Data::F32(vec![0.0; count]),
            DType::F64 => Data::F64(vec![0.0; count]),
            DType::I32 => Data::I32(vec![0; count]),
            DType::Bool => Data::Bool(vec![false; count]),
        };
        Tensor { shape, data }
    }

    /// Floats given in f64, rounded to `dtype` (`F32` or `F64`); `None` when their number is not the shape's.
    pub fn from_f64(shape: impl Into<Shape>, dtype: DType, elements: &[f64]) -> Option<Tensor> {
        match dtype {
            DType::F32 => Tensor::new(shape, elements.iter().map(|&x| x as f32).collect()),
            DType::F64 => Tensor::new(shape, elements.to_vec()),
            DType::I32 | DType::Bool => None,
        }
    }

    /// The same elements under another shape; unchanged when their number is another.
    #[must_use]
    pub fn reshaped(mut self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if shape.checked_elements() == Some(self.shape.elements()) {
            self.shape = shape;
        }
        self
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I32(_) => DType::I32,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, to be changed in place.
    pub fn data_mut(&mut self) -> &mut Data {
        &mut self.data
    }

    /// The elements as `T`; `None` when the tensor holds another type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The elements as `T`, to be changed in place; `None` when the tensor holds another type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        T::slice_mut(&mut self.data)
    }

    /// Every element as f64 (masks as 0 and 1). Cost: one copy.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(elements) => elements.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(elements) => elements.clone(),
            Data::I32(elements) => elements.iter().map(|&x| f64::from(x)).collect(),
            Data::Bool(elements) => elements.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    /// The same numbers as floats of another width.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            return self.clone();
        }
        let values = self.to_f64();
        let data = match dtype {
            DType::F32 => Data::F32(values.iter().map(|&x| x as f32).collect()),
            DType::F64 => Data::F64(values),
            DType::I32 => Data::I32(values.iter().map(|&x| x as i32).collect()),
            DType::Bool => Data::Bool(values.iter().map(|&x| x != 0.0).collect()),
        };
        Tensor { shape: self.shape.clone(), data }
    }

    /// The only element, as f64; `None` when there is not exactly one.
    pub fn item(&self) -> Option<f64> {
        (self.shape.elements() == 1).then(|| self.to_f64()[0])
    }

    /// The element at a flat position as f64 (masks as 0 and 1).
    pub fn get(&self, position: usize) -> Option<f64> {
        match &self.data {
            Data::F32(elements) => elements.get(position).map(|&x| f64::from(x)),
            Data::F64(elements) => elements.get(position).copied(),
            Data::I32(elements) => elements.get(position).map(|&x| f64::from(x)),
            Data::Bool(elements) => elements.get(position).map(|&x| f64::from(u8::from(x))),
        }
    }
}
