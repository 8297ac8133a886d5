use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN,
    RETRY_AFTER, SET_COOKIE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::access::Act;
use super::html::{Html, Language, Words};
use super::metrics::metrics;
use super::pages::{View, fault_page, login_page};
use super::request::{FORM_BYTES_MAX, LIST_BYTES_MAX, Pairs, cookie, is_own_host, is_own_way, language};
use super::serve::{Page, whole};
use super::service::{NoAnswer, Patience, Service, Visitor, random, unrecorded};
use super::sessions::SessionId;
use crate::challenge::auth::same_bytes;
use crate::review::questions::QuestionError;

mod acts;
mod at_length;
mod looks;

/// A form comes whole within this time.
const FORM_LIMIT: Duration = Duration::from_secs(10);
/// Where too many ask, it is worth while to ask again after so long.
const BUSY: Duration = Duration::from_secs(5);
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A request, as far as pages need it.
pub(super) struct Asks {
    service: Arc<Service>,
    address: IpAddr,
    language: Language,
    pairs: Pairs,
    /// Whether somebody is logged in on this connection.
    is_known: Arc<AtomicBool>,
    patience: Patience,
}

/// Why there is another answer than was asked for.
pub(super) struct Fault {
    status: StatusCode,
    title: Words,
    detail: String,
    /// As what it goes on record, where somebody would have done what is not theirs.
    told: Option<&'static str>,
    /// When it is worth while to ask again.
    after: Option<Duration>,
}

impl Fault {
    fn new(status: StatusCode, title: Words, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), told: None, after: None }
    }

    /// In a sentence, where a page goes on without what was asked for.
    fn told(self, language: Language) -> String {
        if self.detail.is_empty() { language.of(self.title).to_owned() } else { self.detail }
    }
}

impl From<NoAnswer> for Fault {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Busy => Self {
                after: Some(BUSY),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ("Too many ask at the moment. Try again.", "混み合っています。もう一度お試しください。"),
                    "",
                )
            },
            NoAnswer::Spent(wait) => Self {
                after: Some(wait),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    (
                        "The console has had its share of the processor, so that the gate is not slowed. Try again in a moment.",
                        "ゲートを遅くしないため、コンソールのCPU使用量が上限に達しました。少し待ってから再度お試しください。",
                    ),
                    "",
                )
            },
            NoAnswer::Slow => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                (
                    "It takes too long for a page. Ask for fewer days, or on the command line.",
                    "時間がかかりすぎます。日数を減らすか、コマンドラインをお使いください。",
                ),
                "",
            ),
            NoAnswer::Died => Self::new(StatusCode::INTERNAL_SERVER_ERROR, ("No answer.", "回答できません。"), ""),
            NoAnswer::Question(error) => Self::new(StatusCode::NOT_FOUND, unanswered(&error), error.to_string()),
        }
    }
}

/// Why a question has no answer.
fn unanswered(error: &QuestionError) -> Words {
    match error {
        QuestionError::NoRow(_) => ("There is nothing of that id in the index.", "その識別子は索引にありません。"),
        QuestionError::NothingToBeLike(_) => {
            ("That exchange has nothing of the kind to be like.", "この交換には、比べる値がありません。")
        }
        QuestionError::BadValue(..) => ("That is nothing of the kind.", "その種類の値ではありません。"),
        QuestionError::NoDevice(_) => ("There is no such client or device.", "該当する端末や機器がありません。"),
        QuestionError::BadHost(..) => ("That is no host.", "ホスト名ではありません。"),
        QuestionError::Index(_) | QuestionError::Sqlite(_) => {
            ("There is no answer: the evidence cannot be read.", "記録を読めないため、回答できません。")
        }
    }
}

fn forbidden() -> Fault {
    let title = ("Your role does not allow that.", "権限がありません。");
    Fault { told: Some("console_forbidden"), ..Fault::new(StatusCode::FORBIDDEN, title, "") }
}

/// Answers one request, and says where somebody is logged in.
pub(super) async fn answer(
    service: &Arc<Service>,
    (address, is_known): (IpAddr, Arc<AtomicBool>),
    request: Request<Incoming>,
) -> Response<Page> {
    let address = address.to_canonical();
    let fields = request.headers();
    let text = |name: HeaderName| fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_own_host(text(HOST), &service.plan.names) {
        return whole(StatusCode::MISDIRECTED_REQUEST, TEXT, "this console is called by another name\n");
    }
    let pairs = Pairs::read(request.uri().query().unwrap_or_default());
    let chosen = pairs.get("lang").and_then(Language::named);
    let kept = cookies(fields, "lang").map(str::to_owned);
    let language = language(chosen.map(Language::tag), kept.as_deref(), text(ACCEPT_LANGUAGE));
    let patience = Patience::begin();
    let asks = Asks { service: service.clone(), address, language, pairs, is_known, patience };
    let session = cookies(fields, session_cookie(service)).map(str::to_owned);
    let asked_for = format!("{} {}", request.method(), request.uri().path());
    let mut response = match routed(&asks, request).await {
        Ok(response) => response,
        Err(Fault { status, title, detail, told, after }) => {
            if let Some(action) = told {
                service.tell_refused(action, (session.as_deref(), address), &asked_for).await;
            }
            let mut response = page(status, fault_page(language, title, &detail));
            if let Some(after) = after {
                response.headers_mut().insert(RETRY_AFTER, (after.as_secs() + 1).into());
            }
            response
        }
    };
    if let Some(chosen) = chosen {
        let secure = if service.plan.is_secured { "; Secure" } else { "" };
        set_cookie(&mut response, &format!("lang={}; Path=/; SameSite=Lax; Max-Age=31536000{secure}", chosen.tag()));
    }
    response
}

async fn routed(asks: &Asks, request: Request<Incoming>) -> Result<Response<Page>, Fault> {
    let path = request.uri().path().to_owned();
    let is_post = match *request.method() {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return Err(Fault::new(StatusCode::METHOD_NOT_ALLOWED, ("No such method.", "使えない操作です。"), "")),
    };
    match (is_post, path.as_str()) {
        (false, "/style.css") => {
            return Ok(kept(whole(StatusCode::OK, "text/css; charset=utf-8", include_str!("style.css"))));
        }
        (false, "/live.js") => {
            return Ok(kept(whole(StatusCode::OK, "text/javascript; charset=utf-8", include_str!("live.js"))));
        }
        (false, "/icon.svg") => return Ok(kept(whole(StatusCode::OK, "image/svg+xml", include_str!("icon.svg")))),
        (false, "/metrics") => return figures(asks).await,
        (false, "/login") => return log_in_form(asks, None),
        (true, "/login") => return log_in(asks, request).await,
        _ => {}
    }
    let session = cookies(request.headers(), session_cookie(&asks.service)).map(str::to_owned);
    let Some(visitor) = asks.service.visitor(session.as_deref()) else {
        if is_post {
            return Err(Fault::new(StatusCode::FORBIDDEN, ("You are not logged in.", "ログインしていません。"), ""));
        }
        let way = request.uri().path_and_query().map_or("/", |way| way.as_str());
        let mut page = Html::new(asks.language);
        page.way("/login", &[("then", if is_own_way(way) { way } else { "/" })]);
        return Ok(redirect(&page.into_text()));
    };
    asks.is_known.store(true, Ordering::Relaxed);
    if !is_post {
        return looks::look(asks, visitor, &path).await;
    }
    let has_list = path == "/sweep" && visitor.user.role.may(Act::LookUp);
    let longest = if has_list { LIST_BYTES_MAX } else { FORM_BYTES_MAX };
    let form = form(asks, request, longest).await?;
    if !same_bytes(form.exact("token").as_bytes(), asks.token(&visitor).as_bytes()) {
        return Err(foreign());
    }
    acts::act(asks, visitor, &path, &form).await
}

impl Asks {
    fn token(&self, visitor: &Visitor) -> String {
        visitor.session.form_token(&self.service.plan.secret, "form")
    }

    fn view<'a>(&'a self, visitor: &'a Visitor, path: &'static str) -> View<'a> {
        View {
            language: self.language,
            person: &visitor.user.name,
            role: visitor.user.role,
            path,
            asked: &self.pairs,
            form_token: self.token(visitor),
            zone: &self.service.plan.zone,
            until: self.pairs.some("until").and_then(|until| until.parse().ok()),
        }
    }
}

fn may(visitor: &Visitor, act: Act) -> Result<(), Fault> {
    if visitor.user.role.may(act) { Ok(()) } else { Err(forbidden()) }
}

/// Nothing is done by a form of another site, or of another session.
fn foreign() -> Fault {
    let title =
        ("This form is not of your session. Go back and try again.", "フォームが無効です。戻ってやり直してください。");
    Fault { told: Some("console_form_refused"), ..Fault::new(StatusCode::FORBIDDEN, title, "") }
}

/// Reads a form that this console has shown.
async fn form(asks: &Asks, request: Request<Incoming>, longest: usize) -> Result<Pairs, Fault> {
    let fields = request.headers();
    let text = |name: HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
    let scheme = if asks.service.plan.is_secured { "https" } else { "http" };
    let own = format!("{scheme}://{}", text(HOST).unwrap_or_default());
    if text(ORIGIN).is_some_and(|origin| !origin.eq_ignore_ascii_case(&own)) {
        return Err(foreign());
    }
    let bad = || Fault::new(StatusCode::BAD_REQUEST, ("The form cannot be read.", "フォームを読めません。"), "");
    if !text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(bad());
    }
    let reading = async {
        let (mut bytes, mut body, mut length) = (Vec::new(), request.into_body(), 0_usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| bad())?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            length = length.saturating_add(data.len());
            if length <= longest {
                bytes.extend_from_slice(data);
            } else {
                bytes = Vec::new();
            }
            // Who still sends does not read why it is refused: of a form that is somewhat too long the rest is passed over.
            if length > longest.saturating_mul(4) {
                break;
            }
        }
        if length > longest {
            let title = ("The form is too long.", "フォームが長すぎます。");
            return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, title, ""));
        }
        Ok(Pairs::read(str::from_utf8(&bytes).map_err(|_| bad())?))
    };
    timeout(FORM_LIMIT, reading).await.unwrap_or_else(|_| Err(bad()))
}

/// A browser keeps the cookie of TLS for this host and path alone, and takes it from nobody else (RFC 6265bis §4.1.3).
fn session_cookie(service: &Service) -> &'static str {
    if service.plan.is_secured { "__Host-sekisho" } else { "sekisho" }
}

/// The cookie that binds the form of the log-in to one browser.
fn door_cookie(service: &Service) -> &'static str {
    if service.plan.is_secured { "__Host-sekisho-door" } else { "sekisho-door" }
}

fn log_in_form(asks: &Asks, fault: Option<(StatusCode, Words)>) -> Result<Response<Page>, Fault> {
    let failed = |_| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, ("No answer.", "回答できません。"), "");
    let door = SessionId::new(random().map_err(failed)?);
    let token = door.form_token(&asks.service.plan.secret, "door");
    let then = asks.pairs.get("then").filter(|then| is_own_way(then)).unwrap_or("/");
    let (status, fault) = fault.map_or((StatusCode::OK, None), |(status, fault)| (status, Some(fault)));
    let mut response = page(status, login_page(asks.language, &token, then, fault));
    set_cookie(&mut response, &guarded(&asks.service, door_cookie(&asks.service), &door.text(), ""));
    Ok(response)
}

async fn log_in(asks: &Asks, request: Request<Incoming>) -> Result<Response<Page>, Fault> {
    let door = cookies(request.headers(), door_cookie(&asks.service)).and_then(SessionId::read);
    let form = form(asks, request, FORM_BYTES_MAX).await?;
    let expected = door.map(|door| door.form_token(&asks.service.plan.secret, "door"));
    if !expected.is_some_and(|expected| same_bytes(expected.as_bytes(), form.exact("token").as_bytes())) {
        return Err(foreign());
    }
    let asked = Asks {
        service: asks.service.clone(),
        address: asks.address,
        language: asks.language,
        pairs: form.clone(),
        is_known: asks.is_known.clone(),
        patience: asks.patience,
    };
    let name = form.get("name").unwrap_or_default();
    match asks.service.log_in(asks.address, name, form.exact("password")).await {
        Ok(session) => {
            let then = form.get("then").filter(|then| is_own_way(then)).unwrap_or("/");
            let mut response = redirect(then);
            let name = session_cookie(&asks.service);
            set_cookie(&mut response, &guarded(&asks.service, name, &session.text(), ""));
            set_cookie(&mut response, &guarded(&asks.service, door_cookie(&asks.service), "", "; Max-Age=0"));
            Ok(response)
        }
        Err(fault) => log_in_form(&asked, Some((StatusCode::FORBIDDEN, fault))),
    }
}

async fn figures(asks: &Asks) -> Result<Response<Page>, Fault> {
    if !asks.service.plan.metrics.iter().any(|network| network.contains(&asks.address)) {
        return Err(Fault { told: None, ..forbidden() });
    }
    let house = asks.service.plan.gatehouse.clone();
    let standing = asks.service.read_figures(asks.patience, move || house.standing()).await?;
    let tails = asks.service.tails.count() as u64;
    let text = metrics(&standing, &asks.service.plan.gatehouse.gate().counters, tails);
    Ok(whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

fn page(status: StatusCode, page: Html) -> Response<Page> {
    whole(status, HTML, page.into_text())
}

/// To a way of the console.
fn redirect(way: &str) -> Response<Page> {
    let mut response = whole(StatusCode::SEE_OTHER, TEXT, "");
    // `&amp;` stands for itself in markup alone.
    let way = HeaderValue::from_str(&way.replace("&amp;", "&")).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, way);
    response
}

/// What stays the same while this version runs.
fn kept(mut response: Response<Page>) -> Response<Page> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}

fn guarded(service: &Service, name: &str, value: &str, more: &str) -> String {
    let secure = if service.plan.is_secured { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}")
}

fn set_cookie(response: &mut Response<Page>, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn cookies<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    cookie(fields.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()), name)
}

/// That something goes on record comes first.
fn not_recorded(why: String) -> Fault {
    Fault::new(StatusCode::SERVICE_UNAVAILABLE, unrecorded(), why)
}
