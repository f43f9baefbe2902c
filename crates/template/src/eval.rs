//! Filling a tree in.

use serde_json::Value;

use crate::functions::{call, is_true};
use crate::parse::{Command, Node, Operand, Pipeline};
use crate::print::{nil, print};
use crate::{MAX_OUTPUT, MAX_STEPS, Result, TemplateError};

/// Fills in the whole tree.
pub(crate) fn render(nodes: &[Node], data: &Value) -> Result<String> {
    let mut evaluator =
        Evaluator { data, variables: vec![(String::new(), data.clone())], out: String::new(), steps: 0 };
    evaluator.nodes(nodes, data)?;
    Ok(evaluator.out)
}

/// Whether to go on with the loop around.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Evaluator<'a> {
    data: &'a Value,
    /// The innermost last; the first, without a name, is the document.
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
}

impl Evaluator<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow> {
        let scope = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow> {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.out.len() > MAX_OUTPUT {
            return Err(TemplateError::new("it makes too much output, or too much work"));
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let text = if value.is_null() { self.print_nothing(pipeline, dot) } else { print(&value) };
                    self.out.push_str(&text);
                }
            }
            Node::If { condition, then, otherwise } => {
                let scope = self.variables.len();
                let branch = if is_true(&self.pipeline(condition, dot)?) { then } else { otherwise };
                let flow = self.nodes(branch, dot);
                self.variables.truncate(scope);
                return flow;
            }
            Node::With { value, then, otherwise } => {
                let scope = self.variables.len();
                let value = self.pipeline(value, dot)?;
                let flow = if is_true(&value) { self.nodes(then, &value) } else { self.nodes(otherwise, dot) };
                self.variables.truncate(scope);
                return flow;
            }
            Node::Range { values, each, otherwise } => return self.range(values, each, otherwise, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// A field that is there without a value is not the same as one that is not.
    fn print_nothing(&self, pipeline: &Pipeline, dot: &Value) -> String {
        let field = match pipeline.commands.as_slice() {
            [Command { operands }] => match operands.as_slice() {
                [Operand::Dot(path)] => path.split_last().map(|(name, parents)| (dot, parents, name)),
                [Operand::Variable(variable, path)] => {
                    let known = self.variables.iter().rev().find(|(known, _)| known == variable);
                    known.and_then(|(_, value)| path.split_last().map(|(name, parents)| (value, parents, name)))
                }
                _ => None,
            },
            _ => None,
        };
        match field {
            Some((value, parents, name)) if fields(value, parents).get(name).is_some() => nil(name).to_owned(),
            _ => print(&Value::Null),
        }
    }

    fn range(&mut self, values: &Pipeline, each: &[Node], otherwise: &[Node], dot: &Value) -> Result<Flow> {
        let pairs: Vec<(Value, Value)> = match self.commands(values, dot)? {
            Value::Null => Vec::new(),
            Value::Array(list) => list.into_iter().enumerate().map(|(at, value)| (at.into(), value)).collect(),
            Value::Object(map) => {
                let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()
            }
            other => return Err(TemplateError::new(format!("range cannot go over {}", print(&other)))),
        };
        if pairs.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, value) in pairs {
            let scope = self.variables.len();
            match &values.variables[..] {
                [] => {}
                [only] => self.variables.push((only.clone(), value.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), value.clone()));
                }
            }
            let flow = self.nodes(each, &value)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
                known.ok_or_else(|| undefined(name))?.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or(Value::Null))
    }

    fn command(&mut self, command: &Command, last: Option<Value>, dot: &Value) -> Result<Value> {
        let (first, rest) = command.operands.split_first().ok_or_else(|| TemplateError::new("an action is empty"))?;
        let Operand::Function(name) = first else {
            if !rest.is_empty() || last.is_some() {
                return Err(TemplateError::new("only a function takes arguments"));
            }
            return self.operand(first, dot);
        };
        if name == "and" || name == "or" {
            // Ends with the first that decides.
            let mut result = Value::Null;
            for operand in rest {
                result = self.operand(operand, dot)?;
                if is_true(&result) == (name == "or") {
                    return Ok(result);
                }
            }
            return Ok(last.unwrap_or(result));
        }
        let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>>>()?;
        arguments.extend(last);
        let result = call(name, &arguments)?;
        match &result {
            Value::String(text) if text.len() > MAX_OUTPUT => {
                Err(TemplateError::new(format!("function \"{name}\" makes too long a text")))
            }
            _ => Ok(result),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value> {
        match operand {
            Operand::Dot(path) => {
                if let (Some(first), true) = (path.first(), std::ptr::eq(dot, self.data)) {
                    known(dot, first)?;
                }
                Ok(fields(dot, path))
            }
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| undefined(name))?;
                Ok(fields(value, path))
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Function(name) => call(name, &[]),
            Operand::Group(pipeline, path) => Ok(fields(&self.pipeline(pipeline, dot)?, path)),
        }
    }
}

fn undefined(name: &str) -> TemplateError {
    TemplateError::new(format!("variable \"${name}\" is not defined"))
}

/// A field of the document that it has not is misspelt.
fn known(document: &Value, name: &str) -> Result<()> {
    let Value::Object(map) = document else { return Ok(()) };
    if map.contains_key(name) {
        return Ok(());
    }
    let names: Vec<&str> = map.keys().map(String::as_str).collect();
    Err(TemplateError::new(format!("there is no field \".{name}\" (hint: there are .{})", names.join(", ."))))
}

fn fields(value: &Value, path: &[String]) -> Value {
    path.iter().try_fold(value, |value, name| value.get(name)).cloned().unwrap_or(Value::Null)
}
