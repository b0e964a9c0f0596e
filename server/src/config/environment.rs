//! Reads variables. The environment comes in as a function, so that tests set none.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::ConfigError;

/// The environment, and how a variable is read. A variable that is set to nothing counts as not
/// set, as it does in most shells' scripts.
pub(super) struct Environment<F>(pub(super) F);

impl<F: Fn(&str) -> Option<std::ffi::OsString>> Environment<F> {
    pub(super) fn path(&self, name: &'static str) -> Option<PathBuf> {
        (self.0)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        (self.0)(name)
            .filter(|value| !value.is_empty())
            .map(|value| {
                value.into_string().map_err(|value| ConfigError::Variable {
                    name,
                    value: value.to_string_lossy().into_owned(),
                    message: "not valid UTF-8".to_owned(),
                })
            })
            .transpose()
    }

    pub(super) fn value<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name)?.map(|text| parse_variable(name, &text)).transpose()
    }

    /// A list's values are separated by commas.
    pub(super) fn list<T: FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        self.text(name)?
            .map(|text| text.split(',').map(|part| parse_variable(name, part)).collect())
            .transpose()
    }
}

fn parse_variable<T: FromStr<Err: fmt::Display>>(
    name: &'static str,
    text: &str,
) -> Result<T, ConfigError> {
    text.parse().map_err(|error: T::Err| ConfigError::Variable {
        name,
        value: text.to_owned(),
        message: error.to_string(),
    })
}
