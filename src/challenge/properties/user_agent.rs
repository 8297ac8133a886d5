use std::sync::LazyLock;

use bytes::BytesMut;

use crate::facts::{Client, Hello};
use crate::identity::{AGENT_BYTES_MAX, Browsers, Claim, Face, ProgramName, Seen, program_key};
use crate::parse::{HeadLimits, HelloLimits, HelloRead, parse_connect, read_hello, take_request_head};

static BROWSERS: LazyLock<Browsers> =
    LazyLock::new(|| Browsers::built_in().unwrap_or_else(|problems| panic!("{problems:?}")));

/// Any bytes as what a program shows: a head, and behind it the ClientHello, if it sends one.
///
/// A head without a User-Agent claims nothing, and against no claim nothing speaks. The same bytes show the same
/// program. What is shown of it is short and without controls.
pub fn user_agent(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    let Ok(Some(head)) = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0) else { return };
    let hello = match read_hello(&buffer, &HelloLimits::default()) {
        Ok(HelloRead::Hello(hello)) => Some(hello),
        Ok(HelloRead::Incomplete) | Err(_) => None,
    };
    let user_agent = head.fields.get("user-agent");
    let claim = BROWSERS.claim(user_agent);
    assert!(user_agent.is_some() || matches!(claim, Claim::None));
    let target = parse_connect(head.target()).ok();
    let connect = target.as_ref().map(|target| (&target.host, target.port));
    for connect in [connect, None] {
        for hello in [hello.as_ref(), None] {
            let grounds = || claim.check(&Seen { head: &head, connect, inner: None, hello, faces: &[], learnt: None });
            assert_eq!(grounds(), grounds());
            assert!(claim.browser().is_some() || grounds().iter().next().is_none(), "{:?}", grounds());
        }
    }
    let client = Client::at(([10, 0, 0, 1], 4000).into());
    let faces = [hello.as_ref().map(|hello: &Hello| Face::of_hello(&claim, hello)), Some(Face::of_head(&claim, &head))];
    for face in faces.iter().flatten() {
        let key = program_key(&client, user_agent, face);
        assert_eq!(key, program_key(&client, user_agent, &face.clone()));
        let name = ProgramName::new(&client, user_agent, face);
        assert!(name.user_agent.len() <= AGENT_BYTES_MAX && !name.user_agent.chars().any(char::is_control));
        assert!(name.face.len() <= 48, "{}", name.face);
    }
    if let [Some(of_hello), Some(of_head)] = &faces {
        assert_ne!(program_key(&client, user_agent, of_hello), program_key(&client, user_agent, of_head));
    }
}
