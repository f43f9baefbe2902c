//! From words to a tree.

use serde_json::Value;

use crate::lex::Token;
use crate::{MAX_DEPTH, Result, TemplateError};

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Print(Pipeline),
    If { condition: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    With { value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    Range { values: Pipeline, each: Vec<Self>, otherwise: Vec<Self> },
    Break,
    Continue,
}

/// Commands, each with the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipeline {
    /// The variables that get the result; with `range` two get key and value.
    pub(crate) variables: Vec<String>,
    /// They are new (`:=`).
    pub(crate) declares: bool,
    pub(crate) commands: Vec<Command>,
}

/// What is called or taken, and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub(crate) operands: Vec<Operand>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    /// The value that `.` is here, and fields of it.
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String),
    Group(Box<Pipeline>, Vec<String>),
}

/// Builds the tree.
pub(crate) fn parse(tokens: &[Token]) -> Result<Vec<Node>> {
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let (nodes, end) = parser.list()?;
    match end {
        Ending::Template => Ok(nodes),
        _ => Err(TemplateError::new("{{end}} or {{else}} without a beginning")),
    }
}

/// What a list of nodes ends with.
enum Ending {
    Template,
    End,
    /// Followed by a further condition, or not.
    Else,
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &Token) -> Result<()> {
        match self.next() {
            Some(next) if next == *token => Ok(()),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(text)) if text == word)
    }

    /// Nodes up to an `end`, an `else`, or the end of the template.
    fn list(&mut self) -> Result<(Vec<Node>, Ending)> {
        let mut nodes = Vec::new();
        loop {
            match self.next() {
                None => return Ok((nodes, Ending::Template)),
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                Some(Token::Open) => {
                    if self.is_word("end") {
                        self.at += 1;
                        self.expect(&Token::Close)?;
                        return Ok((nodes, Ending::End));
                    }
                    if self.is_word("else") {
                        self.at += 1;
                        return Ok((nodes, Ending::Else));
                    }
                    nodes.push(self.action()?);
                }
                other => return Err(unexpected(other.as_ref())),
            }
        }
    }

    fn action(&mut self) -> Result<Node> {
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        match word.as_str() {
            "if" | "with" | "range" => {
                self.at += 1;
                self.branch(&word)
            }
            "break" | "continue" => {
                self.at += 1;
                self.expect(&Token::Close)?;
                Ok(if word == "break" { Node::Break } else { Node::Continue })
            }
            "template" | "define" | "block" => {
                Err(TemplateError::new(format!("{{{{{word}}}}} has no use in a format")))
            }
            _ => {
                let pipeline = self.pipeline()?;
                self.expect(&Token::Close)?;
                Ok(Node::Print(pipeline))
            }
        }
    }

    fn branch(&mut self, kind: &str) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new("its parts stand too deep in each other"));
        }
        let value = self.pipeline()?;
        self.expect(&Token::Close)?;
        let (then, end) = self.list()?;
        let otherwise = match end {
            Ending::End => Vec::new(),
            Ending::Template => return Err(TemplateError::new(format!("{{{{{kind}}}}} has no {{{{end}}}}"))),
            Ending::Else => self.otherwise(kind)?,
        };
        self.depth -= 1;
        Ok(match kind {
            "if" => Node::If { condition: value, then, otherwise },
            "with" => Node::With { value, then, otherwise },
            _ => Node::Range { values: value, each: then, otherwise },
        })
    }

    /// Behind the word `else`: a further condition, or what to do without one.
    fn otherwise(&mut self, kind: &str) -> Result<Vec<Node>> {
        if kind != "range" && self.is_word(kind) {
            self.at += 1;
            return Ok(vec![self.branch(kind)?]);
        }
        self.expect(&Token::Close)?;
        match self.list()? {
            (nodes, Ending::End) => Ok(nodes),
            _ => Err(TemplateError::new(format!("the {{{{else}}}} of {{{{{kind}}}}} has no {{{{end}}}}"))),
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        let (variables, declares) = self.variables();
        let mut commands = vec![self.command()?];
        while self.peek() == Some(&Token::Pipe) {
            self.at += 1;
            commands.push(self.command()?);
        }
        Ok(Pipeline { variables, declares, commands })
    }

    /// `$a :=`, `$a, $b :=`, `$a =`.
    fn variables(&mut self) -> (Vec<String>, bool) {
        let start = self.at;
        let mut names = Vec::new();
        while let Some(Token::Variable(name)) = self.peek().cloned() {
            self.at += 1;
            names.push(name);
            match self.peek() {
                Some(Token::Comma) => self.at += 1,
                Some(Token::Declare) => {
                    self.at += 1;
                    return (names, true);
                }
                Some(Token::Assign) => {
                    self.at += 1;
                    return (names, false);
                }
                _ => break,
            }
        }
        self.at = start;
        (Vec::new(), false)
    }

    fn command(&mut self) -> Result<Command> {
        let mut operands = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        if operands.is_empty() {
            return Err(match self.peek() {
                Some(Token::Close) | None => TemplateError::new("an action is empty"),
                other => unexpected(other),
            });
        }
        Ok(Command { operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(token) = self.peek().cloned() else { return Ok(None) };
        let operand = match token {
            Token::Dot => Operand::Dot(Vec::new()),
            Token::Field(name) => {
                self.at += 1;
                let mut path = vec![name];
                path.extend(self.fields());
                return Ok(Some(Operand::Dot(path)));
            }
            Token::Variable(name) => {
                self.at += 1;
                let fields = self.fields();
                return Ok(Some(Operand::Variable(name, fields)));
            }
            Token::String(text) => Operand::Literal(Value::String(text)),
            Token::Number(text) => Operand::Literal(number(&text)?),
            Token::Word(word) => match word.as_str() {
                "true" => Operand::Literal(Value::Bool(true)),
                "false" => Operand::Literal(Value::Bool(false)),
                "nil" => Operand::Literal(Value::Null),
                _ => Operand::Function(word),
            },
            Token::LeftParen => {
                self.at += 1;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(TemplateError::new("its parts stand too deep in each other"));
                }
                let inner = self.pipeline()?;
                self.depth -= 1;
                self.expect(&Token::RightParen)?;
                let fields = self.fields();
                return Ok(Some(Operand::Group(Box::new(inner), fields)));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(operand))
    }

    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token::Chain(name)) = self.peek().cloned() {
            self.at += 1;
            fields.push(name);
        }
        fields
    }
}

fn number(text: &str) -> Result<Value> {
    let whole = text.parse::<i64>().ok().map(Value::from);
    let value = whole.or_else(|| text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number));
    value.ok_or_else(|| TemplateError::new(format!("bad number \"{text}\"")))
}

fn unexpected(token: Option<&Token>) -> TemplateError {
    match token {
        None => TemplateError::new("an action has no end: \"}}\" is missing"),
        Some(token) => TemplateError::new(format!("unexpected {token:?}")),
    }
}
