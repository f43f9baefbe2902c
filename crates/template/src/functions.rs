//! The functions: Go's own, and Docker's.

use std::cmp::Ordering;

use serde_json::Value;

use crate::print::{print, printf};
use crate::{Result, TemplateError};

/// What `if` takes for true: what is not empty or zero.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Calls a function. `and` and `or` are the evaluator's, since they leave arguments unevaluated.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    let wrong = |why: &str| TemplateError::new(format!("function \"{name}\": {why}"));
    let argument = |at: usize| arguments.get(at).ok_or_else(|| wrong("too few arguments"));
    let text = |at: usize| argument(at)?.as_str().ok_or_else(|| wrong("an argument is no string"));
    let size = |at: usize| -> Result<usize> {
        let number = argument(at)?.as_u64().and_then(|n| usize::try_from(n).ok());
        number.filter(|n| *n <= 4096).ok_or_else(|| wrong("an argument is no number from 0 to 4096"))
    };
    let exactly =
        |count: usize| if arguments.len() == count { Ok(()) } else { Err(wrong("wrong number of arguments")) };
    match name {
        "json" => {
            exactly(1)?;
            Ok(Value::String(argument(0)?.to_string()))
        }
        "print" => Ok(join(arguments, " ")),
        "println" => Ok(Value::String(arguments.iter().map(print).collect::<Vec<_>>().join(" ") + "\n")),
        "printf" => printf(text(0)?, &arguments[1..]).map(Value::String),
        "join" => {
            exactly(2)?;
            match argument(0)? {
                Value::Null => Ok("".into()),
                Value::Array(list) => Ok(Value::String(list.iter().map(print).collect::<Vec<_>>().join(text(1)?))),
                _ => Err(wrong("the first argument is no list")),
            }
        }
        "split" => Ok(text(0)?.split(text(1)?).map(Value::from).collect::<Vec<_>>().into()),
        "upper" => Ok(text(0)?.to_uppercase().into()),
        "lower" => Ok(text(0)?.to_lowercase().into()),
        "title" => Ok(title(text(0)?).into()),
        "pad" => Ok(format!("{}{}{}", " ".repeat(size(1)?), text(0)?, " ".repeat(size(2)?)).into()),
        "truncate" => Ok(text(0)?.chars().take(size(1)?).collect::<String>().into()),
        "len" => match argument(0)? {
            Value::Null => Ok(0.into()),
            Value::String(text) => Ok(text.len().into()),
            Value::Array(list) => Ok(list.len().into()),
            Value::Object(map) => Ok(map.len().into()),
            _ => Err(wrong("the argument has no length")),
        },
        "index" => arguments.iter().skip(1).try_fold(argument(0)?.clone(), |value, key| index(&value, key)),
        "slice" => slice(argument(0)?, &arguments[1..]).ok_or_else(|| wrong("the range is outside")),
        "not" => Ok((!is_true(argument(0)?)).into()),
        "eq" => {
            let first = argument(0)?;
            argument(1)?;
            Ok(arguments[1..].iter().any(|other| equal(first, other)).into())
        }
        "ne" => Ok((!equal(argument(0)?, argument(1)?)).into()),
        "lt" | "le" | "gt" | "ge" => {
            let order = compare(argument(0)?, argument(1)?).ok_or_else(|| wrong("the arguments cannot be compared"))?;
            Ok(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
            .into())
        }
        _ => Err(TemplateError::new(format!("function \"{name}\" is not defined"))),
    }
}

fn join(values: &[Value], between: &str) -> Value {
    Value::String(values.iter().map(print).collect::<Vec<_>>().join(between))
}

/// Go's `strings.Title`: the underscore is part of a word, and beyond ASCII only spaces separate.
fn title(text: &str) -> String {
    let mut starts = true;
    let separates = |c: char| if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() };
    let each = |c: char| {
        let upper = starts && c.is_alphabetic();
        starts = separates(c);
        if upper { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
    };
    text.chars().flat_map(each).collect()
}

/// A key that a map has not gives no value, an index outside of a list is an error.
fn index(value: &Value, key: &Value) -> Result<Value> {
    match (value, key) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_else(|| "".into())),
        (Value::Array(list), key) => {
            let at = key.as_u64().and_then(|at| usize::try_from(at).ok());
            let item = at.and_then(|at| list.get(at)).cloned();
            item.ok_or_else(|| TemplateError::new(format!("index {key} is outside of a list of {}", list.len())))
        }
        _ => Err(TemplateError::new(format!("{} has no index {key}", print(value)))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Option<Value> {
    let bound = |at: usize| bounds.get(at).map(|bound| bound.as_u64().and_then(|n| usize::try_from(n).ok()));
    let range =
        |len: usize| -> Option<(usize, usize)> { Some((bound(0).unwrap_or(Some(0))?, bound(1).unwrap_or(Some(len))?)) };
    match value {
        Value::String(text) => {
            let (from, to) = range(text.len())?;
            text.get(from..to).map(Value::from)
        }
        Value::Array(list) => {
            let (from, to) = range(list.len())?;
            list.get(from..to).map(|part| part.to_vec().into())
        }
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
