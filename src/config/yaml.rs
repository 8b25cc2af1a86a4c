//! YAML text → a small tree that knows its lines and keeps every scalar as it was written, so
//! that `1.10` stays `1.10`. Anchors share nodes, and depth is bounded, so no input can exhaust
//! the stack or the memory. Knows nothing about settings.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Levels of nesting, aliases counted in; far beyond any configuration written by hand.
const DEEPEST: usize = 100;

/// A node of the tree.
#[derive(Debug)]
pub struct Node {
    /// Line of its beginning, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    height: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A scalar as written; `plain` without quotes and tag.
    Scalar {
        /// Its text, escapes and folding done.
        text: String,
        /// Neither quoted nor tagged nor a block.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file, repeated keys included.
    Map(Vec<Entry>),
    /// An alias to something that is not complete yet.
    Circular,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key; `None` where it is no scalar.
    pub key: Option<String>,
    /// The key's line.
    pub line: usize,
    /// The value.
    pub value: Rc<Node>,
}

/// Why a text is not a YAML document for us.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlFault {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Node {
    /// A plain `null`, `~`, or nothing at all.
    pub fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }
}

/// Parses one document. `None`: the text is empty.
pub fn parse(text: &str) -> Result<Option<Rc<Node>>, YamlFault> {
    refuse_nul(text)?;
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|e| YamlFault { line: e.marker().line(), message: explain(e.info()) })?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.root)
}

/// The parser would take a NUL for the end of the text.
fn refuse_nul(text: &str) -> Result<(), YamlFault> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(YamlFault {
            line: text[..at].matches('\n').count() + 1,
            message: "a NUL character is not allowed in YAML".to_owned(),
        }),
    }
}

fn explain(info: &str) -> String {
    format!("not valid YAML: {info}")
}

/// A collection whose end has not come yet.
struct Open {
    anchor: usize,
    line: usize,
    is_map: bool,
    items: Vec<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    documents: usize,
    root: Option<Rc<Node>>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlFault> {
        match event {
            Event::DocumentStart(_) => self.begin_document(line),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                self.add(Rc::new(Node { line, kind, height: 1 }), anchor)
            }
            Event::Alias(anchor) => {
                let circular = || Rc::new(Node { line, kind: Kind::Circular, height: 1 });
                let node = self.anchors.get(&anchor).cloned().unwrap_or_else(circular);
                self.add(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, line, false),
            Event::MappingStart(anchor, _) => self.begin(anchor, line, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin_document(&mut self, line: usize) -> Result<(), YamlFault> {
        self.documents += 1;
        if self.documents > 1 {
            let message = "a second document begins here; keep only one".to_owned();
            return Err(YamlFault { line, message });
        }
        Ok(())
    }

    fn begin(&mut self, anchor: usize, line: usize, is_map: bool) -> Result<(), YamlFault> {
        self.open.push(Open { anchor, line, is_map, items: Vec::new() });
        self.limit_depth(0, line)
    }

    fn end(&mut self) -> Result<(), YamlFault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let height = 1 + open.items.iter().map(|n| n.height).max().unwrap_or(0);
        let kind = if open.is_map { Kind::Map(pair(&open.items)) } else { Kind::List(open.items) };
        self.add(Rc::new(Node { line: open.line, kind, height }), open.anchor)
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), YamlFault> {
        self.limit_depth(node.height, node.line)?;
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn limit_depth(&self, height: usize, line: usize) -> Result<(), YamlFault> {
        if self.open.len() + height <= DEEPEST {
            return Ok(());
        }
        Err(YamlFault { line, message: format!("nested more than {DEEPEST} levels deep") })
    }
}

fn pair(items: &[Rc<Node>]) -> Vec<Entry> {
    let entry = |pair: &[Rc<Node>]| Entry {
        key: match &pair[0].kind {
            Kind::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        },
        line: pair[0].line,
        value: Rc::clone(&pair[1]),
    };
    items.chunks_exact(2).map(entry).collect()
}
