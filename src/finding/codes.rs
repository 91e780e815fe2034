//! The one list of what can be found. Words are stable: `--ignore` and scripts name them.
//!
//! A line each, families together: the name in Rust, the word, the grade, what is in the way, what it means.

use super::Area::Setup;
use super::Code;
use super::Grade::Broken;

/// Makes a constant of each line, and the list of them.
macro_rules! codes {
    ($($name:ident $word:literal $grade:ident $area:ident $about:literal)*) => {
        $(
            #[doc = $about]
            pub static $name: Code = Code { word: $word, grade: $grade, area: $area, about: $about };
        )*
        /// Every code, in the order of the man page.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    PHP_EMPTY_PATH "php.empty-path" Broken Setup "`sendmail_path` is empty, so PHP has no program to hand mail to"
}
