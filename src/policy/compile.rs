use std::sync::Arc;

use crate::facts::{Client, Timestamp};
use crate::parse::{Document, Place, Placed, Problem, Section};

use super::calendar::{Calendar, Hours, read_calendar};
use super::cases::{Case, read_cases, run_cases};
use super::decision::{Rate, RuleRef, VerdictKind};
use super::faces::Faces;
use super::groups::{ClientGroup, Groups, MODES, Membership, Program, Unused};
use super::index::HostIndex;
use super::internal::Internal;
use super::parents::Parent;
use super::question::Asker;
use super::rule::{Rule, read_hours, read_rule};
use super::sources::{Alone, Source, Sources, Texts, base_of};

/// A policy, compiled whole. There is no other way to one than [`Policy::compile`] and
/// [`Policy::compile_from`], and no default:
///
/// ```compile_fail,E0277
/// let policy: sekisho::policy::Policy = Default::default();
/// ```
#[derive(Debug)]
pub struct Policy {
    /// The base, if there is one, and then the site: at least one, at most two.
    pub(super) layers: Vec<Layer>,
    parents: Vec<Placed<Arc<Parent>>>,
    faces: Faces,
    /// How many it is held to; all of them hold.
    cases: usize,
    files: Vec<String>,
    hash: Box<str>,
}

/// One policy of those that are judged by; alone, it is the whole.
#[derive(Debug)]
pub(super) struct Layer {
    head: Head,
    pub(super) rules: Vec<Rule>,
    pub(super) index: HostIndex,
    pub(super) calendar: Option<Calendar>,
    /// When people work.
    office_hours: Option<Hours>,
    /// Each once, in the order of the files, whether a rule names it or not.
    groups: Vec<ClientGroup>,
    /// By name.
    programs: Vec<Arc<Program>>,
    pub(super) unused: Vec<Unused>,
    /// Where it says what becomes of a target that no rule names.
    pub(super) unknown_at: Option<Place>,
}

/// What becomes of a program that contradicts its claim to be a browser in two groups, where it is challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mimic {
    Deny,
    /// Whatever it has shown before, it is challenged, and by no reset.
    Challenge,
    /// That is on record alone.
    Record,
}

/// What a policy says of itself in `[policy]`.
#[derive(Debug, Clone, Copy)]
struct Head {
    mode: Mode,
    unknown: VerdictKind,
    mimic: Mimic,
    reload: Reload,
}

/// Whether a policy is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Verdicts are recorded, and let pass.
    Observe,
}

/// What becomes of open tunnels when another policy comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// They go on.
    Keep,
    /// They are judged by it, and cut if it does not let them out.
    Strict,
}

pub(super) const VERDICTS: [(&str, VerdictKind); 3] =
    [("allow", VerdictKind::Allow), ("challenge", VerdictKind::Challenge), ("deny", VerdictKind::Deny)];

impl Policy {
    /// Compiles the policy in `text`, which includes nothing, and holds it to its cases; `file` is the name
    /// that problems and reasons show.
    ///
    /// # Errors
    /// Every problem at once, each with its place and its fix; a case that fails is one.
    pub fn compile(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::compile_from(Source { file: file.to_owned(), text: text.to_owned() }, &Alone)
    }

    /// Compiles the policy of `root` with all that it names beside itself, and holds it to its cases.
    ///
    /// # Errors
    /// Every problem of every file at once; a case that fails is one.
    pub fn compile_from(root: Source, sources: &dyn Sources) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let base = match base_of(&root, sources) {
            Ok(base) => base.and_then(|base| {
                let texts = Texts::gather(base, sources);
                compile_layer(&texts, sources, Position::Base).map_err(|found| problems.extend(found)).ok()
            }),
            Err(problem) => {
                problems.push(*problem);
                None
            }
        };
        let position = if problems.is_empty() { Position::Site(base) } else { Position::SiteOnBrokenBase };
        let site = compile_layer(&Texts::gather(root, sources), sources, position);
        match site {
            Ok(policy) if problems.is_empty() => Ok(policy),
            Ok(_) => Err(problems),
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }

    /// The same policy in observe mode, for `run --observe`.
    #[must_use]
    pub fn observing(mut self) -> Self {
        for layer in &mut self.layers {
            layer.head.mode = Mode::Observe;
            layer.groups.iter_mut().for_each(|group| group.mode = None);
        }
        self
    }

    /// Gives the word `internal` in rules' `private` its meaning: the addresses of the config's
    /// `[internal]`. Until then it opens nothing.
    ///
    /// # Errors
    /// A problem for each rule that says the word where the config has no `[internal]`, and for each that
    /// leaves nothing but internal names to its parent, which could never pass.
    pub fn with_internal(mut self, internal: Option<&Internal>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for rule in self.layers.iter_mut().flat_map(|layer| &mut layer.rules) {
            if let Some(place) = internal.and_then(|internal| rule.leaves_internal_names(internal)) {
                problems.push(Problem {
                    place: place.clone(),
                    what: "every host of the rule is one of the [internal] names of the config, and none of those is left to a parent"
                        .to_owned(),
                    fix: "write resolve = \"gate\", or take `parent` and `resolve` away".to_owned(),
                });
            }
            match (&rule.opens_internal, internal) {
                (None, _) => {}
                (Some(_), Some(internal)) => {
                    let terms = Arc::make_mut(&mut rule.terms);
                    terms.opened = terms.opened.iter().chain(internal.addresses()).copied().collect();
                }
                (Some(place), None) => problems.push(Problem {
                    place: place.clone(),
                    what: "`private` opens \"internal\", and the config has no [internal]".to_owned(),
                    fix: "add [internal] with names, resolvers and addresses to the config, or write prefixes here"
                        .to_owned(),
                }),
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// The policy's own layer; what it stands on is above it.
    fn site(&self) -> &Layer {
        self.layers.last().expect("a policy is made with one layer at least")
    }

    /// The mode of clients in no group that has one of its own.
    pub fn mode(&self) -> Mode {
        self.site().head.mode
    }

    /// The rates of its rules.
    pub fn rates(&self) -> impl Iterator<Item = &Arc<Rate>> {
        self.layers.iter().flat_map(|layer| &layer.rules).filter_map(|rule| rule.terms.rate.as_ref())
    }

    /// The groups that have a mode of their own, and it.
    pub fn group_modes(&self) -> impl Iterator<Item = (&str, Mode)> {
        self.site().group_modes()
    }

    /// The same of the base, where there is one, behind its own mode: what it only observes it does not enforce,
    /// whatever the site does.
    pub fn base_modes(&self) -> Option<(Mode, impl Iterator<Item = (&str, Mode)>)> {
        let base = self.layers.first().filter(|_| self.layers.len() > 1)?;
        Some((base.head.mode, base.group_modes()))
    }

    /// True when nothing but the address guard, ambiguous framing and isolation is enforced for whoever is in
    /// no group with a mode of its own.
    pub fn observes(&self) -> bool {
        self.mode() == Mode::Observe
    }

    /// The same for this client.
    pub fn observes_client(&self, client: &Client) -> bool {
        self.site().observes(client)
    }

    /// Further stable TLS keys by which the browser of this name is known in this network.
    pub fn faces(&self, browser: &str) -> &[Box<str>] {
        self.faces.of(browser)
    }

    /// Whether several people are behind the address of this client, by any layer.
    pub fn is_shared(&self, client: &Client) -> bool {
        let mut groups = self.layers.iter().flat_map(|layer| &layer.groups).filter(|group| group.shared);
        groups.any(|group| group.holds(client) != Membership::Out)
    }

    /// What becomes of a target that no rule names.
    pub fn unknown(&self) -> VerdictKind {
        self.site().head.unknown
    }

    /// What becomes of open tunnels when this policy comes into force.
    pub fn reload(&self) -> Reload {
        self.site().head.reload
    }

    /// The policy's version: the first 64 bits, in hexadecimal, of the BLAKE3 hash of its text and, where it
    /// rests on more files than one, of theirs behind it.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Every file that it was made from, by the name under which it was read: its own first.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// How many rules are marked `essential`: what they let out may pass under a breakglass.
    pub fn essential_rules(&self) -> usize {
        self.all_rules().filter(|rule| rule.terms.essential).count()
    }

    /// How many cases the policy is held to.
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// How many rules there are, in all layers.
    pub fn rules(&self) -> usize {
        self.all_rules().count()
    }

    pub(super) fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.layers.iter().flat_map(|layer| &layer.rules)
    }

    /// The rules of all layers with what each says, in their order.
    pub fn rule_refs(&self) -> impl Iterator<Item = (&RuleRef, VerdictKind)> {
        self.all_rules().map(|rule| (&*rule.reference, rule.verdict))
    }

    /// The parents that rules may name, in the order of the files, each with the place of its
    /// `credentials`, or of itself where there are none.
    pub fn parents(&self) -> &[Placed<Arc<Parent>>] {
        &self.parents
    }

    /// The names under `[programs]`, sorted.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.site().programs.iter().map(|program| &*program.name)
    }

    /// What a program of this name under `[programs]` says and shows, for a question about it.
    pub fn program(&self, name: &str) -> Option<Asker<'_>> {
        self.site().programs.iter().find(|program| *program.name == *name).map(|program| program.example())
    }

    /// Whether nobody works now, as far as the policy says when they do.
    pub fn is_out_of_hours(&self, now: Timestamp) -> bool {
        let site = self.site();
        let hours = site.office_hours.as_ref().zip(site.calendar.as_ref());
        hours.is_some_and(|(hours, calendar)| !hours.hold(calendar, now))
    }

    /// The client group that a client is in: the first of the file that is known to hold it, whether a rule
    /// names the group or not.
    pub fn group_of(&self, client: &Client) -> Option<Arc<str>> {
        let group = self.site().groups.iter().find(|group| group.holds(client) == Membership::In);
        group.map(|group| group.name.clone())
    }
}

impl Layer {
    pub(super) fn unknown(&self) -> VerdictKind {
        self.head.unknown
    }

    pub(super) fn mimic(&self) -> Mimic {
        self.head.mimic
    }

    /// Whether its verdicts on this client are recorded only: as the first of its groups says that has a mode
    /// of its own, or else the policy.
    fn group_modes(&self) -> impl Iterator<Item = (&str, Mode)> {
        self.groups.iter().filter_map(|group| Some((&*group.name, group.mode?)))
    }

    pub(super) fn observes(&self, client: &Client) -> bool {
        let own = |group: &ClientGroup| group.mode.filter(|_| group.holds(client) == Membership::In);
        self.groups.iter().find_map(own).unwrap_or(self.head.mode) == Mode::Observe
    }
}

impl Mimic {
    const ALL: [Self; 3] = [Self::Deny, Self::Challenge, Self::Record];

    /// The word used in policies.
    fn as_str(self) -> &'static str {
        match self {
            Mimic::Deny => "deny",
            Mimic::Challenge => "challenge",
            Mimic::Record => "record",
        }
    }
}

impl Mode {
    /// The word used in policies, records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

impl Reload {
    /// The word used in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Reload::Keep => "keep",
            Reload::Strict => "strict",
        }
    }
}

/// Which layer is compiled, and what is below it.
enum Position {
    Base,
    Site(Option<Policy>),
    /// What its cases come to says nothing.
    SiteOnBrokenBase,
}

/// Compiles one layer on what stands below it.
fn compile_layer(texts: &Texts, sources: &dyn Sources, position: Position) -> Result<Policy, Vec<Problem>> {
    let documents: Vec<Document<'_>> =
        texts.sources.iter().map(|source| Document::parse(&source.file, &source.text)).collect();
    let mut roots: Vec<Section<'_, '_>> = documents.iter().map(Document::root).collect();
    let is_base = matches!(position, Position::Base);
    let mut reading = Reading::new(texts, sources, is_base);
    let last = roots.len().saturating_sub(1);
    for (number, (source, root)) in texts.sources.iter().zip(&mut roots).enumerate() {
        reading.read_groups(source, root, number == last);
    }
    for root in &mut roots {
        reading.read_rules(root);
    }
    let cases: Vec<Vec<Case>> = roots.iter_mut().map(read_cases).collect();
    roots.iter().for_each(|root| root.finish());
    let (base, may_run) = match position {
        Position::Base | Position::Site(None) => (None, true),
        Position::Site(base @ Some(_)) => (base, true),
        Position::SiteOnBrokenBase => (None, false),
    };
    let policy = reading.into_policy(base, cases.iter().map(Vec::len).sum());
    // Where something is wrong with the rules, what a case comes to says nothing.
    if may_run && !documents.iter().any(Document::has_problems) {
        for (root, cases) in roots.iter().zip(&cases) {
            run_cases(root, &policy, cases);
        }
    }
    drop(roots);
    let problems: Vec<Problem> = documents.into_iter().flat_map(Document::into_problems).collect();
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// A layer while its files are read: groups of all of them first, since rules of each may name them.
struct Reading<'t> {
    texts: &'t Texts,
    sources: &'t dyn Sources,
    is_base: bool,
    head: Head,
    calendar: Option<Placed<Calendar>>,
    office_hours: Option<Hours>,
    groups: Groups,
    faces: Faces,
    rules: Vec<Rule>,
    unknown_at: Option<Place>,
    /// What was read beside the policy's own files, for its hash.
    beside: Vec<Source>,
}

impl<'t> Reading<'t> {
    fn new(texts: &'t Texts, sources: &'t dyn Sources, is_base: bool) -> Self {
        let head = Head { mode: Mode::Enforce, unknown: VerdictKind::Deny, mimic: Mimic::Deny, reload: Reload::Keep };
        Self {
            texts,
            sources,
            is_base,
            head,
            calendar: None,
            office_hours: None,
            groups: Groups::none(),
            faces: Faces::default(),
            rules: Vec::new(),
            unknown_at: None,
            beside: Vec::new(),
        }
    }

    /// What a file defines. Only the last, which includes the others, has a head.
    fn read_groups(&mut self, source: &Source, root: &mut Section<'_, '_>, is_last: bool) {
        for (number, path) in root.strings("include").unwrap_or_default().into_iter().enumerate() {
            if let Some(why) = self.texts.unread(&source.file, number) {
                let what = format!("`{}` cannot be included: {why}", path.value);
                root.problem(&path.place, what, "name a policy file beside this one, each once");
            }
        }
        self.read_calendar(source, root);
        if is_last {
            self.read_head(root);
        } else if root.has("policy") {
            let place = root.place_of_key("policy").unwrap_or_else(|| root.place().clone());
            root.ignore("policy");
            let what = "an included file has a [policy]";
            root.problem(&place, what, "take it away: mode, unknown and base are said once, by the file that includes");
        }
        self.faces.read(root);
        let (sources, beside) = (self.sources, &mut self.beside);
        self.groups.read(root, |path| {
            let listed = sources.names(&source.file, path)?;
            // For the policy's version the hash of a list stands for it.
            beside.push(Source { file: listed.file.clone(), text: listed.hash.clone() });
            Ok(listed)
        });
    }

    fn read_calendar(&mut self, source: &Source, root: &mut Section<'_, '_>) {
        let (sources, beside) = (self.sources, &mut self.beside);
        let calendar = read_calendar(root, |path| {
            let read = sources.text(&source.file, path)?;
            beside.push(read.clone());
            Ok(read.text)
        });
        match (&self.calendar, calendar) {
            (Some(other), Some(calendar)) => {
                let what = format!("there is a calendar already, at {}", other.place);
                root.problem(&calendar.place, what, "keep one of them: all rules go by the same clocks");
            }
            (None, calendar @ Some(_)) => self.calendar = calendar,
            (_, None) => {}
        }
    }

    fn read_head(&mut self, root: &mut Section<'_, '_>) {
        let Some(mut head) = root.table("policy") else { return };
        if let Some(mode) = head.word("mode", &MODES) {
            self.head.mode = mode;
        }
        if let Some(unknown) = head.word("unknown", &VERDICTS) {
            self.head.unknown = unknown;
            self.unknown_at = head.place_of_key("unknown");
        }
        if let Some(mimic) = head.word("mimic", &Mimic::ALL.map(|word| (word.as_str(), word))) {
            self.head.mimic = mimic;
        }
        if let Some(reload) = head.word("reload", &[Reload::Keep, Reload::Strict].map(|word| (word.as_str(), word))) {
            self.head.reload = reload;
        }
        let calendar = self.calendar.as_ref().map(|calendar| &calendar.value);
        self.office_hours = read_hours(&mut head, "office_hours", calendar).map(|(hours, _)| hours);
        if let Some(base) = head.string("base").filter(|_| self.is_base) {
            let what = "a base stands on no other";
            head.problem(&base.place, what, "take `base` away, or include what it names");
        }
        head.finish();
    }

    fn read_rules(&mut self, root: &mut Section<'_, '_>) {
        let calendar = self.calendar.as_ref().map(|calendar| &calendar.value);
        for mut section in root.tables("rule") {
            let Some(rule) = read_rule(&mut section, &self.groups, calendar) else { continue };
            self.rules.push(rule);
        }
    }

    fn into_policy(self, base: Option<Policy>, cases: usize) -> Policy {
        let files: Vec<&str> = self.texts.sources.iter().map(|source| source.file.as_str()).collect();
        let groups = self.groups.clients_in_order(&files);
        let layer = Layer {
            head: self.head,
            index: HostIndex::new(&self.rules),
            rules: self.rules,
            calendar: self.calendar.map(|calendar| calendar.value),
            office_hours: self.office_hours,
            programs: self.groups.programs(),
            unused: self.groups.unused(),
            unknown_at: self.unknown_at,
            groups,
        };
        let own = self.texts.sources.iter().rev().chain(&self.beside);
        let mut policy = Policy {
            hash: version(own.clone().map(|source| &*source.text), base.as_ref()),
            files: own.map(|source| source.file.clone()).collect(),
            layers: Vec::new(),
            parents: Vec::new(),
            faces: self.faces,
            cases,
        };
        if let Some(base) = base {
            policy.files.extend(base.files);
            policy.layers = base.layers;
            policy.parents = base.parents;
            policy.faces.extend(base.faces);
            policy.cases += base.cases;
        }
        policy.parents.extend(self.groups.parents);
        policy.layers.push(layer);
        policy
    }
}

/// The first text is hashed as it stands, so that anybody can do the same to the file.
fn version<'t>(texts: impl Iterator<Item = &'t str>, base: Option<&Policy>) -> Box<str> {
    let mut hasher = blake3::Hasher::new();
    for (number, text) in texts.enumerate() {
        if number > 0 {
            hasher.update(&text.len().to_le_bytes());
        }
        hasher.update(text.as_bytes());
    }
    if let Some(base) = base {
        hasher.update(base.hash.as_bytes());
    }
    hasher.finalize().to_hex().as_str().get(..16).unwrap_or_default().into()
}
