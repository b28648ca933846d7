//! Reads a service's YAML file into checked values and reports every fault of it at once, each with its key.
//!
//! A configuration type is declared by [`section!`](crate::section), a field a key. All keys of a section are read before
//! it is built, so that one missing key does not hide the next fault. Values may contain `${NAME}`, which stands for an environment
//! variable. Faults never quote a value, because it may be a secret.

use std::{fmt, fs, ops::RangeInclusive, path::Path};

use serde_yaml::{Mapping, Value};

pub mod service;
mod value;

pub use value::{FromText, HostPort, LogLevel, PostgresUrl, ServiceUrl};

/// A type that is read from a section of the file.
pub trait FromSection: Sized {
    /// Reads every key, then answers `None` if any of them was at fault.
    fn from_section(section: &mut Section<'_>) -> Option<Self>;
}

/// Declares a section of the file as a struct. The name of each field is its key; behind it stands the method of
/// [`Section`](crate::config::Section) that reads it. A `rule` that involves several keys may follow.
///
/// ```
/// # use std::time::Duration;
/// platform::section! {
///     /// `delivery`: how messages are sent.
///     pub struct DeliveryConfig {
///         pub address: String = required(),
///         pub timeout: Duration = positive(Duration::from_secs(5)),
///     }
/// }
/// ```
#[macro_export]
macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$doc:meta])* $field_vis:vis $field:ident: $type:ty = $read:ident($($argument:expr),* $(,)?),)+
        }
        $(rule $rule:path;)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[$doc])* $field_vis $field: $type,)+
        }

        impl $crate::config::FromSection for $name {
            fn from_section(section: &mut $crate::config::Section<'_>) -> Option<Self> {
                $(let $field: Option<$type> = section.$read(stringify!($field) $(, $argument)*);)+
                let config = Self { $($field: $field?,)+ };
                $($rule(&config, section);)?
                Some(config)
            }
        }
    };
}

/// Everything that is wrong with a file, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    file: String,
    lines: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Looks up an environment variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file, with `${NAME}` taken from the environment of this process.
pub fn load<C: FromSection>(path: &Path) -> Result<C, Faults> {
    let text = fs::read_to_string(path).map_err(|error| Faults {
        file: path.display().to_string(),
        lines: vec![format!("cannot be read: {error}")],
    })?;
    parse(&path.display().to_string(), &text, &|name| std::env::var(name).ok())
}

/// Reads the text of a file; `file` is its name in faults.
pub fn parse<C: FromSection>(file: &str, text: &str, variables: Variables<'_>) -> Result<C, Faults> {
    let faults = |lines| Faults { file: file.to_owned(), lines };
    let mapping = match serde_yaml::from_str(text) {
        Ok(Value::Mapping(mapping)) => mapping,
        Ok(Value::Null) => Mapping::new(),
        Ok(_) => return Err(faults(vec!["must be a mapping of keys to values".into()])),
        Err(error) => return Err(faults(vec![format!("is not YAML: {error}")])),
    };
    let mut lines = Vec::new();
    let config = Section::read(String::new(), mapping, variables, &mut lines);
    match config {
        Some(config) if lines.is_empty() => Ok(config),
        Some(_) | None => Err(faults(lines)),
    }
}

/// One level of the file. Each key is taken out as it is read; what is left at the end is unknown.
pub struct Section<'a> {
    path: String,
    rest: Mapping,
    variables: Variables<'a>,
    faults: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    fn read<C: FromSection>(
        path: String,
        mapping: Mapping,
        variables: Variables<'a>,
        faults: &'a mut Vec<String>,
    ) -> Option<C> {
        let mut section = Section { path, rest: mapping, variables, faults };
        let config = C::from_section(&mut section);
        let unknown: Vec<_> = section.rest.keys().map(|key| section.key(&shown(key))).collect();
        section.faults.extend(unknown.into_iter().map(|key| format!("{key}: unknown key")));
        config
    }

    /// A value that must be there.
    pub fn required<T: FromText>(&mut self, key: &str) -> Option<T> {
        match self.take(key) {
            Some(value) => self.scalar(&self.key(key), &value),
            None => self.missing(key),
        }
    }

    /// A value with a default.
    pub fn default<T: FromText>(&mut self, key: &str, default: T) -> Option<T> {
        match self.take(key) {
            Some(value) => self.scalar(&self.key(key), &value),
            None => Some(default),
        }
    }

    /// A number or a time with a default; never 0.
    pub fn positive<T: FromText + Default + PartialEq>(&mut self, key: &str, default: T) -> Option<T> {
        let value = self.default(key, default)?;
        if value == T::default() {
            self.reject(key, "must be above 0");
        }
        Some(value)
    }

    /// A value with a default and bounds, which `described` names for people.
    pub fn within<T: FromText + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        bounds: RangeInclusive<T>,
        described: &str,
    ) -> Option<T> {
        let value = self.default(key, default)?;
        if !bounds.contains(&value) {
            self.reject(key, described);
        }
        Some(value)
    }

    /// A value that may be absent: the outer `None` is a fault, the inner one absence.
    pub fn optional<T: FromText>(&mut self, key: &str) -> Option<Option<T>> {
        match self.take(key) {
            Some(value) => self.scalar(&self.key(key), &value).map(Some),
            None => Some(None),
        }
    }

    /// A list with at least one value.
    pub fn list<T: FromText>(&mut self, key: &str) -> Option<Vec<T>> {
        let path = self.key(key);
        match self.take(key) {
            Some(Value::Sequence(values)) if !values.is_empty() => {
                let read: Vec<Option<T>> = values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| self.scalar(&format!("{path}[{index}]"), value))
                    .collect();
                read.into_iter().collect()
            }
            Some(_) => self.fault(&path, "must be a list with at least one value"),
            None => self.missing(key),
        }
    }

    /// Keys that stand in this section itself; the name of the field means nothing.
    pub fn inline<C: FromSection>(&mut self, _: &str) -> Option<C> {
        C::from_section(self)
    }

    /// What the file does not say: code that starts a service may change it.
    pub fn fixed<T>(&mut self, _: &str, value: T) -> Option<T> {
        Some(value)
    }

    /// A section that must be there.
    pub fn section<C: FromSection>(&mut self, key: &str) -> Option<C> {
        match self.optional_section(key)? {
            Some(config) => Some(config),
            None => self.missing(key),
        }
    }

    /// A section whose keys all have defaults, so that it may be left out.
    pub fn section_or_defaults<C: FromSection>(&mut self, key: &str) -> Option<C> {
        let value = self.take(key).unwrap_or(Value::Null);
        self.subsection(key, value)
    }

    /// A section that may be absent: the outer `None` is a fault, the inner one absence.
    pub fn optional_section<C: FromSection>(&mut self, key: &str) -> Option<Option<C>> {
        match self.take(key) {
            Some(value) => self.subsection(key, value).map(Some),
            None => Some(None),
        }
    }

    /// Notes that the value of a key breaks a rule that involves more than the value alone.
    pub fn reject(&mut self, key: &str, description: &str) {
        let path = self.key(key);
        self.faults.push(format!("{path}: {description}"));
    }

    fn subsection<C: FromSection>(&mut self, key: &str, value: Value) -> Option<C> {
        let path = self.key(key);
        match value {
            Value::Mapping(mapping) => Section::read(path, mapping, self.variables, self.faults),
            Value::Null => Section::read(path, Mapping::new(), self.variables, self.faults),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) | Value::Tagged(_) => {
                self.fault(&path, "must be a mapping of keys to values")
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.rest.remove(key)
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn scalar<T: FromText>(&mut self, path: &str, value: &Value) -> Option<T> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null => return self.fault(path, "has no value"),
            Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
                return self.fault(path, "must be a single value");
            }
        };
        match value::substitute(&text, self.variables).and_then(|text| T::from_text(&text)) {
            Ok(value) => Some(value),
            Err(description) => self.fault(path, &description),
        }
    }

    fn missing<T>(&mut self, key: &str) -> Option<T> {
        let path = self.key(key);
        self.fault(&path, "is missing")
    }

    fn fault<T>(&mut self, path: &str, description: &str) -> Option<T> {
        self.faults.push(format!("{path}: {description}"));
        None
    }
}

/// A key, up to where a value begins that lost the space before it: it may be a secret.
fn shown(key: &Value) -> String {
    let text = serde_yaml::to_string(key).unwrap_or_else(|_| "?".into());
    let key = text.trim().trim_matches('\'').split(':').next();
    key.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
