//! How do the words of a filter become a tree?

use std::ops::Range;

use super::Fault;
use super::token::{Token, tokens};

/// How deep parentheses and `not` may go.
const DEEPEST: usize = 50;
/// How many comparisons, numbers and names there may be.
const MOST: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare { left: Sum, relation: Relation, right: Sum },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Like,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sum {
    pub(super) kind: SumKind,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SumKind {
    Number(f64),
    Text(String),
    Name { function: Function, name: String },
    Negative(Box<Sum>),
    Binary { left: Box<Sum>, sign: &'static str, right: Box<Sum> },
}

/// Which value of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// No function was written.
    None,
    Last,
    Min,
    Max,
}

struct Parser<'t> {
    tokens: &'t [(Token, Range<usize>)],
    at: usize,
    end: usize,
    depth: usize,
    parts: usize,
}

/// Reads a whole condition.
pub(super) fn condition(text: &str) -> Result<Condition, Fault> {
    whole(text, |parser| parser.any())
}

/// Reads a whole sum.
pub(super) fn sum(text: &str) -> Result<Sum, Fault> {
    whole(text, |parser| parser.sum())
}

fn whole<T>(text: &str, read: impl FnOnce(&mut Parser<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0, parts: 0 };
    let result = read(&mut parser)?;
    match parser.peek() {
        None => Ok(result),
        Some(Token::Sign(")")) => Err(parser.fault("there is a parenthesis too many", "nothing is open here")),
        Some(_) => Err(parser.fault("the filter goes on where it should end", "`and`, `or` or an operator is missing")),
    }
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    fn fault(&self, what: &str, help: &str) -> Fault {
        Fault::new(what, self.span(), help)
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn takes_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if *sign == wanted);
        self.at += usize::from(found);
        found
    }

    fn deeper<T>(&mut self, read: fn(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEEPEST {
            return Err(self.fault("the filter is nested too deep", "write it with fewer parentheses"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Condition, Fault> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition, Fault> {
        let mut parts = vec![self.negation()?];
        while self.takes_word("and") {
            parts.push(self.negation()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn negation(&mut self) -> Result<Condition, Fault> {
        if self.takes_word("not") {
            return Ok(Condition::Not(Box::new(self.deeper(Parser::negation)?)));
        }
        if matches!(self.peek(), Some(Token::Sign("("))) {
            // Whether it holds a condition or a sum shows only behind it.
            let start = (self.at, self.parts);
            self.at += 1;
            let condition = self.deeper(Parser::any);
            if let Ok(condition) = condition
                && self.takes_sign(")")
                && !self.goes_on()
            {
                return Ok(condition);
            }
            (self.at, self.parts) = start;
        }
        self.comparison()
    }

    /// Whether what was read is only the left side of something.
    fn goes_on(&self) -> bool {
        matches!(self.peek(), Some(Token::Sign(sign)) if *sign != ")")
    }

    fn comparison(&mut self) -> Result<Condition, Fault> {
        let left = self.sum()?;
        let relation = match self.peek() {
            Some(Token::Sign("=")) => Relation::Equal,
            Some(Token::Sign("!=")) => Relation::Unequal,
            Some(Token::Sign("<")) => Relation::Less,
            Some(Token::Sign("<=")) => Relation::AtMost,
            Some(Token::Sign(">")) => Relation::Greater,
            Some(Token::Sign(">=")) => Relation::AtLeast,
            Some(Token::Sign("~")) => Relation::Like,
            _ => {
                let help = "compare with =, !=, <, <=, >, >= or ~";
                return Err(self.fault("a comparison is missing", help));
            }
        };
        self.at += 1;
        let named = matches!(relation, Relation::Equal | Relation::Unequal | Relation::Like);
        let right = if named { self.text_or_sum(relation)? } else { self.sum()? };
        Ok(Condition::Compare { left, relation, right })
    }

    /// Behind `=`, `!=` and `~`, where a word that stands alone is text.
    fn text_or_sum(&mut self, relation: Relation) -> Result<Sum, Fault> {
        if relation == Relation::Like
            || matches!(self.peek(), Some(Token::Word(_) | Token::Quoted(_) | Token::Sign("*")))
        {
            let start = (self.at, self.span());
            if let Some(text) = self.pattern() {
                return Ok(Sum { kind: SumKind::Text(text), span: start.1.start..self.tokens[self.at - 1].1.end });
            }
            self.at = start.0;
        }
        self.sum()
    }

    /// A word, a text in quotes, or words and stars that stand together; nothing where a sum goes on.
    fn pattern(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut end = self.span().start;
        while let Some((token, span)) = self.tokens.get(self.at)
            && span.start == end
        {
            match token {
                Token::Word(word) => text.push_str(word),
                Token::Quoted(quoted) => text.push_str(quoted),
                Token::Sign("*") => text.push('*'),
                Token::Number(number) => text.push_str(&number.to_string()),
                Token::Sign(_) => break,
            }
            (self.at, end) = (self.at + 1, span.end);
        }
        let sum_goes_on = matches!(self.peek(), Some(Token::Sign("+" | "-" | "*" | "/" | "(")));
        (!text.is_empty() && !sum_goes_on).then_some(text)
    }

    fn sum(&mut self) -> Result<Sum, Fault> {
        let mut left = self.product()?;
        while let Some(Token::Sign(sign @ ("+" | "-"))) = self.peek() {
            let sign = *sign;
            self.at += 1;
            let right = self.product()?;
            left = binary(left, sign, right);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Sum, Fault> {
        let mut left = self.operand()?;
        while let Some(Token::Sign(sign @ ("*" | "/"))) = self.peek() {
            let sign = *sign;
            self.at += 1;
            let right = self.operand()?;
            left = binary(left, sign, right);
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Sum, Fault> {
        let span = self.span();
        self.parts += 1;
        if self.parts > MOST {
            return Err(self.fault("the filter is too long", "at most 200 names and numbers"));
        }
        let Some((token, _)) = self.tokens.get(self.at) else {
            return Err(self.fault("the filter ends too early", "a name or a number is missing"));
        };
        self.at += 1;
        let kind = match token {
            Token::Number(number) => SumKind::Number(*number),
            Token::Quoted(text) => SumKind::Text(text.clone()),
            Token::Sign("-") => SumKind::Negative(Box::new(self.deeper(Parser::operand)?)),
            Token::Sign("(") => {
                let inside = self.deeper(Parser::sum)?;
                if !self.takes_sign(")") {
                    return Err(self.fault("a parenthesis is not closed", "`)` is missing"));
                }
                return Ok(inside);
            }
            Token::Sign(_) => {
                self.at -= 1;
                return Err(self.fault("a name or a number is missing", "before this sign"));
            }
            Token::Word(word) if ["and", "or", "not"].contains(&word.to_ascii_lowercase().as_str()) => {
                self.at -= 1;
                return Err(self.fault("a name or a number is missing", "before this word"));
            }
            Token::Word(word) => match (word.to_ascii_lowercase().as_str(), self.peek()) {
                ("last", Some(Token::Sign("("))) => self.call(Function::Last)?,
                ("min", Some(Token::Sign("("))) => self.call(Function::Min)?,
                ("max", Some(Token::Sign("("))) => self.call(Function::Max)?,
                (_, Some(Token::Sign("("))) => {
                    return Err(Fault::new("there is no such function", span, "there are last, min and max"));
                }
                _ => SumKind::Name { function: Function::None, name: word.clone() },
            },
        };
        let end = self.tokens[self.at - 1].1.end;
        Ok(Sum { kind, span: span.start..end })
    }

    fn call(&mut self, function: Function) -> Result<SumKind, Fault> {
        self.at += 1;
        let Some(Token::Word(name)) = self.peek() else {
            return Err(self.fault("a metric is missing", "write it as in `max(test_accuracy)`"));
        };
        let name = name.clone();
        self.at += 1;
        if !self.takes_sign(")") {
            return Err(self.fault("a parenthesis is not closed", "`)` is missing"));
        }
        Ok(SumKind::Name { function, name })
    }
}

fn binary(left: Sum, sign: &'static str, right: Sum) -> Sum {
    let span = left.span.start..right.span.end;
    Sum { kind: SumKind::Binary { left: Box::new(left), sign, right: Box::new(right) }, span }
}
