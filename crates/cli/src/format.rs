//! `--format`: `json`, a Go template, or `table` before one.

use serde_json::{Map, Value};
use stdx::{Error, Result};
use template::{Template, TemplateError};

use crate::error::printable;
use crate::table;

/// A column: its name in a template, and its title in a table.
pub(crate) type Column = (&'static str, &'static str);

/// Prints rows as a template says, one a line.
pub(crate) fn print(format: &str, columns: &[Column], rows: Vec<Vec<String>>) -> Result<()> {
    // In a value either would begin a cell or a line of the table.
    let is_table = format.starts_with("table ");
    let value =
        |cell: String| Value::from(if is_table { cell.replace('\t', "\\t").replace('\n', "\\n") } else { cell });
    let objects = rows.into_iter().map(|row| object(columns, row.into_iter().map(value)));
    if format == "json" {
        objects.for_each(|object| table::out(&format!("{object}\n")));
        return Ok(());
    }
    let Some(format) = format.strip_prefix("table ") else {
        let template = parse(format)?;
        return objects.map(|object| render(&template, &object)).try_for_each(|line| {
            table::out(&format!("{}\n", printable(&line?)));
            Ok(())
        });
    };
    let template = parse(format)?;
    let cells = |line: String| -> Vec<String> { line.split('\t').map(str::to_owned).collect() };
    let titles = cells(render(&template, &object(columns, columns.iter().map(|(_, title)| Value::from(*title))))?);
    let rows: Vec<Vec<String>> = objects.map(|object| render(&template, &object).map(cells)).collect::<Result<_>>()?;
    table::print(&titles.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    Ok(())
}

/// Prints documents as a template says, one a line; `json` prints each on one line.
pub(crate) fn print_documents(format: &str, documents: &[Value]) -> Result<()> {
    if format == "json" {
        documents.iter().for_each(|document| table::out(&format!("{document}\n")));
        return Ok(());
    }
    let template = parse(format)?;
    documents.iter().try_for_each(|document| {
        table::out(&format!("{}\n", printable(&render(&template, document)?)));
        Ok(())
    })
}

fn object(columns: &[Column], values: impl Iterator<Item = Value>) -> Value {
    let fields: Map<String, Value> = columns.iter().map(|(name, _)| (*name).to_owned()).zip(values).collect();
    Value::Object(fields)
}

/// Reads a template.
pub(crate) fn parse(format: &str) -> Result<Template> {
    Template::parse(format).map_err(invalid)
}

/// What a template says of a document.
pub(crate) fn render(template: &Template, data: &Value) -> Result<String> {
    template.render(data).map_err(invalid)
}

fn invalid(error: TemplateError) -> Error {
    Error::invalid(format!("invalid --format: {error}"))
}
