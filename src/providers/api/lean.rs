//! JSON without what is empty: the one place that decides which members of a body are left out.

use std::fmt::{self, Display};

use serde::ser::{
    Error, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value whose members are left out where they are `None`, a list without an element or a map without an entry, at
/// every depth. A string stays though it is empty, and so does what is [`Kept`].
pub(super) struct Lean<T>(pub T);

/// A list or map that is written though it is empty.
pub struct Kept<T>(pub T);

/// What [`Kept`] is called among serde's newtypes.
const KEPT: &str = "mailchute::Kept";

impl<T: Serialize> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(KEPT, &self.0)
    }
}

impl<T: Serialize> Serialize for Lean<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Lean(serializer))
    }
}

/// Forwards what has no members.
macro_rules! forward {
    ($($method:ident($($name:ident: $kind:ty),*);)*) => {
        $(fn $method(self, $($name: $kind),*) -> Result<Self::Ok, Self::Error> { self.0.$method($($name),*) })*
    };
}

impl<S: Serializer> Serializer for Lean<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Lean<S::SerializeSeq>;
    type SerializeTuple = Lean<S::SerializeTuple>;
    type SerializeTupleStruct = Lean<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Lean<S::SerializeTupleVariant>;
    type SerializeMap = Lean<S::SerializeMap>;
    type SerializeStruct = Lean<S::SerializeStruct>;
    type SerializeStructVariant = Lean<S::SerializeStructVariant>;

    forward! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<Self::Ok, Self::Error> {
        self.0.collect_str(value)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Self::Error> {
        self.0.serialize_some(&Lean(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Self::Ok, Self::Error> {
        self.0.serialize_newtype_struct(name, &Lean(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Self::Ok, Self::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Lean(value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> {
        self.0.serialize_seq(len).map(Lean)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Self::Error> {
        self.0.serialize_tuple(len).map(Lean)
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, Self::Error> {
        self.0.serialize_tuple_struct(name, len).map(Lean)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Self::Error> {
        self.0.serialize_tuple_variant(name, index, variant, len).map(Lean)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, Self::Error> {
        self.0.serialize_map(None).map(Lean)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Self::Error> {
        self.0.serialize_struct(name, len).map(Lean)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Self::Error> {
        self.0.serialize_struct_variant(name, index, variant, len).map(Lean)
    }
}

/// Compounds of elements, all of which stay.
macro_rules! elements {
    ($($compound:ident::$method:ident;)*) => {
        $(impl<S: $compound> $compound for Lean<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
                self.0.$method(&Lean(value))
            }

            fn end(self) -> Result<Self::Ok, Self::Error> {
                self.0.end()
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// Compounds of named members, of which the empty ones go.
macro_rules! members {
    ($($compound:ident;)*) => {
        $(impl<S: $compound> $compound for Lean<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Self::Error> {
                if is_empty(value) { self.0.skip_field(key) } else { self.0.serialize_field(key, &Lean(value)) }
            }

            fn end(self) -> Result<Self::Ok, Self::Error> {
                self.0.end()
            }
        })*
    };
}

members! {
    SerializeStruct;
    SerializeStructVariant;
}

impl<S: SerializeMap> SerializeMap for Lean<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Self::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.0.serialize_value(&Lean(value))
    }

    // What a flattened struct is written by.
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), Self::Error> {
        if is_empty(value) { Ok(()) } else { self.0.serialize_entry(key, &Lean(value)) }
    }

    fn end(self) -> Result<Self::Ok, Self::Error> {
        self.0.end()
    }
}

/// Whether `value` is left out of a body.
fn is_empty<T: Serialize + ?Sized>(value: &T) -> bool {
    matches!(value.serialize(Probe), Err(Verdict { is_empty: true }))
}

/// Looks at no more of a value than whether it is empty, and stops there: what it gives is always an error.
struct Probe;

/// The answer of [`Probe`].
#[derive(Debug)]
struct Verdict {
    is_empty: bool,
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "empty: {}", self.is_empty)
    }
}

impl std::error::Error for Verdict {}

impl Error for Verdict {
    fn custom<T: Display>(_text: T) -> Self {
        Self { is_empty: false }
    }
}

/// Answers without looking further.
macro_rules! verdicts {
    ($($method:ident($($kind:ty),*) -> $ok:ty: $is_empty:expr;)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<$ok, Verdict> { Err(Verdict { is_empty: $is_empty }) })*
    };
}

impl Serializer for Probe {
    type Ok = ();
    type Error = Verdict;
    type SerializeSeq = Impossible<(), Verdict>;
    type SerializeTuple = Impossible<(), Verdict>;
    type SerializeTupleStruct = Impossible<(), Verdict>;
    type SerializeTupleVariant = Impossible<(), Verdict>;
    type SerializeMap = Impossible<(), Verdict>;
    type SerializeStruct = Impossible<(), Verdict>;
    type SerializeStructVariant = Impossible<(), Verdict>;

    verdicts! {
        serialize_bool(bool) -> (): false;
        serialize_i8(i8) -> (): false;
        serialize_i16(i16) -> (): false;
        serialize_i32(i32) -> (): false;
        serialize_i64(i64) -> (): false;
        serialize_u8(u8) -> (): false;
        serialize_u16(u16) -> (): false;
        serialize_u32(u32) -> (): false;
        serialize_u64(u64) -> (): false;
        serialize_f32(f32) -> (): false;
        serialize_f64(f64) -> (): false;
        serialize_char(char) -> (): false;
        serialize_str(&str) -> (): false;
        serialize_bytes(&[u8]) -> (): false;
        serialize_none() -> (): true;
        serialize_unit() -> (): true;
        serialize_unit_struct(&'static str) -> (): false;
        serialize_unit_variant(&'static str, u32, &'static str) -> (): false;
        serialize_tuple(usize) -> Self::SerializeTuple: false;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct: false;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant: false;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct: false;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant: false;
    }

    fn collect_str<T: Display + ?Sized>(self, _value: &T) -> Result<(), Verdict> {
        Err(Verdict { is_empty: false })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Verdict> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Verdict> {
        if name == KEPT { Err(Verdict { is_empty: false }) } else { value.serialize(self) }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Verdict> {
        Err(Verdict { is_empty: false })
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Verdict> {
        Err(Verdict { is_empty: len == Some(0) })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Verdict> {
        Err(Verdict { is_empty: len == Some(0) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Default, Serialize)]
    struct Inner {
        a: Option<u8>,
        b: Vec<u8>,
    }

    #[derive(Default, Serialize)]
    struct Outer<'a> {
        text: &'a str,
        off: bool,
        none: Option<&'a str>,
        some_list: Option<Vec<u8>>,
        list: &'a [Inner],
        map: BTreeMap<&'a str, &'a str>,
        kept: Option<Kept<Vec<u8>>>,
        inner: Inner,
        #[serde(flatten)]
        flat: Inner,
    }

    #[test]
    fn what_is_empty_is_left_out_at_every_depth() {
        let json = |outer: &Outer<'_>| serde_json::to_string(&Lean(outer)).unwrap();
        assert_eq!(json(&Outer::default()), r#"{"text":"","off":false,"inner":{}}"#);
        let full = Outer {
            none: Some(""),
            some_list: Some(Vec::new()),
            list: &[Inner { a: None, b: vec![1] }],
            map: BTreeMap::from([("x", "")]),
            kept: Some(Kept(Vec::new())),
            flat: Inner { a: Some(0), b: Vec::new() },
            ..Outer::default()
        };
        assert_eq!(
            json(&full),
            r#"{"text":"","off":false,"none":"","list":[{"b":[1]}],"map":{"x":""},"kept":[],"inner":{},"a":0}"#
        );
    }
}
