//! Reads the YAML file of a service into checked values, and reports all its faults at once, each with its key.
//!
//! [`section!`](crate::section) declares a configuration type; each field is a key. All keys of a section are read
//! before the section is built, so that one missing key does not hide the next fault. A value may contain `${NAME}` for
//! an environment variable. Numbers and durations have bounds: no key takes one without, and none of them stops a service
//! that takes it. Faults never quote a value, because it may be a secret.

use std::{fs, ops::RangeInclusive, path::Path};

use serde_yaml::{Mapping, Value};

pub mod kafka;
pub mod service;
mod value;

pub use value::{FromText, HostPort, LogLevel, PostgresUrl, Quantity, ServiceUrl};

pub trait FromSection: Sized {
    /// Reads all keys before it returns `None` for a faulty one.
    fn from_section(section: &mut Section<'_>) -> Option<Self>;
}

/// Declares a section of the file as a struct. The name of a field is its key; after `=` comes the method of
/// [`Section`](crate::config::Section) that reads it. A `rule` about several keys may follow the fields.
///
/// ```
/// # use std::time::Duration;
/// platform::section! {
///     /// `delivery`: how messages are sent.
///     pub struct DeliveryConfig {
///         pub address: String = required(),
///         pub timeout: Duration = within(Duration::from_secs(5), Duration::from_millis(1)..=Duration::from_secs(60)),
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

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:\n  {}", .lines.join("\n  "))]
pub struct Faults {
    file: String,
    lines: Vec<String>,
}

/// Looks up an environment variable by its name.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file; `${NAME}` is taken from the environment of this process.
pub(crate) fn load<C: FromSection>(path: &Path) -> Result<C, Faults> {
    let text = fs::read_to_string(path).map_err(|error| Faults {
        file: path.display().to_string(),
        lines: vec![format!("cannot be read: {error}")],
    })?;
    parse(&path.display().to_string(), &text, &|name| std::env::var(name).ok())
}

/// `file` is the name of the file in faults.
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

/// One level of the file. Reading a key takes it out of the section; keys that are left at the end are unknown.
pub struct Section<'a> {
    path: String,
    unread: Mapping,
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
        let mut section = Section { path, unread: mapping, variables, faults };
        let config = C::from_section(&mut section);
        let unknown: Vec<_> = section.unread.keys().map(|key| section.path_of(&without_value(key))).collect();
        section.faults.extend(unknown.into_iter().map(|key| format!("{key}: unknown key")));
        config
    }

    pub fn required<T: FromText>(&mut self, key: &str) -> Option<T> {
        self.optional(key)?.or_else(|| self.missing(key))
    }

    pub fn default<T: FromText>(&mut self, key: &str, default: T) -> Option<T> {
        Some(self.optional(key)?.unwrap_or(default))
    }

    /// A number or a duration, with a default and bounds.
    pub fn within<T: Quantity>(&mut self, key: &str, default: T, bounds: RangeInclusive<T>) -> Option<T> {
        match self.take(key) {
            Some(value) => self.scalar(&self.path_of(key), &value, |text| T::within(text, &bounds)),
            None => Some(default),
        }
    }

    /// A value with a default that an environment variable overrides, unless the variable is unset or empty.
    pub fn overridable<T: FromText>(&mut self, key: &str, variable: &str, default: T) -> Option<T> {
        let value = self.default(key, default);
        let Some(text) = (self.variables)(variable).filter(|text| !text.is_empty()) else { return value };
        match T::from_text(&text) {
            Ok(overriding) => value.map(|_| overriding),
            Err(description) => {
                let path = self.path_of(key);
                self.fault(&path, &format!("the environment variable {variable}, which overrides it, {description}"))
            }
        }
    }

    /// A value that may be absent. The outer `None` means a fault, the inner one an absent value.
    pub fn optional<T: FromText>(&mut self, key: &str) -> Option<Option<T>> {
        match self.take(key) {
            Some(value) => self.scalar(&self.path_of(key), &value, T::from_text).map(Some),
            None => Some(None),
        }
    }

    /// A list with at least one value.
    pub fn list<T: FromText>(&mut self, key: &str) -> Option<Vec<T>> {
        let path = self.path_of(key);
        match self.take(key) {
            Some(Value::Sequence(values)) if !values.is_empty() => {
                // All values are read before the list fails, so that every fault is reported.
                let read: Vec<Option<T>> = values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| self.scalar(&format!("{path}[{index}]"), value, T::from_text))
                    .collect();
                read.into_iter().collect()
            }
            Some(_) => self.fault(&path, "must be a list with at least one value"),
            None => self.missing(key),
        }
    }

    /// A list that may be absent, and then is empty.
    pub fn list_or_empty<T: FromText>(&mut self, key: &str) -> Option<Vec<T>> {
        if self.unread.contains_key(key) { self.list(key) } else { Some(Vec::new()) }
    }

    /// Keys that are no names of ours, with their values.
    pub fn map<K: FromText, V: FromText>(&mut self, key: &str) -> Option<Vec<(K, V)>> {
        let path = self.path_of(key);
        match self.take(key) {
            Some(Value::Mapping(mapping)) => {
                let read: Vec<Option<(K, V)>> = mapping
                    .iter()
                    .map(|(name, value)| {
                        let path = format!("{path}.{}", without_value(name));
                        let name = self.scalar(&path, name, K::from_text);
                        let value = self.scalar(&path, value, V::from_text);
                        name.zip(value)
                    })
                    .collect();
                read.into_iter().collect()
            }
            Some(_) => self.fault(&path, "must be a mapping of keys to values"),
            None => Some(Vec::new()),
        }
    }

    /// Keys of this section that another struct reads. The name of the field has no meaning in the file.
    pub fn inline<C: FromSection>(&mut self, _: &str) -> Option<C> {
        C::from_section(self)
    }

    /// A value that is not in the file; code that starts a service may change it.
    pub fn fixed<T>(&mut self, _: &str, value: T) -> Option<T> {
        Some(value)
    }

    pub fn section<C: FromSection>(&mut self, key: &str) -> Option<C> {
        self.optional_section(key)?.or_else(|| self.missing(key))
    }

    /// A section whose keys all have defaults, so it may be absent.
    pub fn section_or_defaults<C: FromSection>(&mut self, key: &str) -> Option<C> {
        let value = self.take(key).unwrap_or(Value::Null);
        self.subsection(key, value)
    }

    /// A section that may be absent. The outer `None` means a fault, the inner one an absent section.
    pub fn optional_section<C: FromSection>(&mut self, key: &str) -> Option<Option<C>> {
        match self.take(key) {
            Some(value) => self.subsection(key, value).map(Some),
            None => Some(None),
        }
    }

    /// Reports a key whose value can be read but breaks a rule.
    pub fn reject(&mut self, key: &str, description: &str) {
        let path = self.path_of(key);
        self.faults.push(format!("{path}: {description}"));
    }

    fn subsection<C: FromSection>(&mut self, key: &str, value: Value) -> Option<C> {
        let path = self.path_of(key);
        match value {
            Value::Mapping(mapping) => Section::read(path, mapping, self.variables, self.faults),
            Value::Null => Section::read(path, Mapping::new(), self.variables, self.faults),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) | Value::Tagged(_) => {
                self.fault(&path, "must be a mapping of keys to values")
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.unread.remove(key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn scalar<T>(&mut self, path: &str, value: &Value, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null => return self.fault(path, "has no value"),
            Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
                return self.fault(path, "must be a single value");
            }
        };
        match value::substitute(&text, self.variables).and_then(|text| read(&text)) {
            Ok(value) => Some(value),
            Err(description) => self.fault(path, &description),
        }
    }

    fn missing<T>(&mut self, key: &str) -> Option<T> {
        let path = self.path_of(key);
        self.fault(&path, "is missing")
    }

    fn fault<T>(&mut self, path: &str, description: &str) -> Option<T> {
        self.faults.push(format!("{path}: {description}"));
        None
    }
}

/// The text of an unknown key up to its colon. In `password:secret` the space is missing, so the key holds the secret.
fn without_value(key: &Value) -> String {
    let text = serde_yaml::to_string(key).unwrap_or_else(|_| "?".into());
    let key = text.trim().trim_matches('\'').split(':').next();
    key.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
