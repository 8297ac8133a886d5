/// What the pages say, in one language.
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) title: &'static str,
    pub(super) host: &'static str,
    pub(super) reason: &'static str,
    pub(super) id: &'static str,
    /// What a program is to set: the proxy, or where it learns of that by itself.
    pub(super) proxy: &'static str,
    pub(super) pac: &'static str,
    pub(super) ask: &'static str,
    /// In front of a rule that would let the request through.
    draft: &'static str,
    /// In front of one that would let it through without a look inside.
    draft_uninspected: &'static str,
    /// A sentence for each kind of reason.
    kinds: [&'static str; Kind::COUNT],
}

/// What a reason comes down to for the person at a PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The policy does not let this out.
    Policy,
    /// The guard does not: it names something that is never a site.
    Guard,
    /// The program could not be examined as the policy asks.
    Unexamined,
    /// The other side could not be reached, or answered wrongly.
    Origin,
    /// The gate cannot keep records, so nothing passes.
    Evidence,
    /// The gate has no room for another connection.
    Exhausted,
    /// The proxies of this network do not lead there.
    Proxies,
    /// The proxies do lead there, and the last of them could not reach it.
    Beyond,
    /// The request itself is wrong or ambiguous.
    Request,
    /// The machine has asked for it too often.
    TooOften,
    /// The user is not known, or not by what was shown.
    LogIn,
    /// The browser has answered its challenge, and not as it should.
    NotShown,
    /// The program has not asked the proxy, but gone past it.
    Bypassed,
}

impl Kind {
    const COUNT: usize = 13;

    fn of(status: u16, reason: &str) -> Self {
        match reason {
            "rule"
            | "no_rule"
            | "port_not_opened"
            | "isolated"
            | "trace_shows_credentials"
            | "path_ambiguous"
            | "not_a_browser"
            | "mimic"
            | "clearance_needed"
            | "finding"
            | "way_changed"
            | "not_kept"
            | "policy_changed"
            | "lockdown" => Self::Policy,
            "rate_limited" | "log_in_too_often" => Self::TooOften,
            "log_in_needed" | "log_in_afresh" | "log_in_wrong" | "log_in_stale" | "log_in_refused" => Self::LogIn,
            "bypassed_proxy" | "not_captured" | "sni_missing" | "not_http_or_tls" => Self::Bypassed,
            "challenge_failed" | "challenge_given_up" => Self::NotShown,
            "guard_name" | "guard_address" => Self::Guard,
            "challenge_unavailable"
            | "challenge_not_possible"
            | "challenge_busy"
            | "hello_unavailable"
            | "inspection_unavailable"
            | "client_cert_required"
            | "authentication_unavailable"
            | "not_websocket"
            | "nested_connect" => Self::Unexamined,
            "evidence_unavailable" => Self::Evidence,
            "gate_exhausted" => Self::Exhausted,
            "parent_refused" | "parent_auth_failed" | "parent_unreachable" | "parent_timeout" | "parent_bad_answer"
            | "loop_detected" => Self::Proxies,
            "parent_cannot_reach" => Self::Beyond,
            // The same faults can be an origin's, and the person who asked has no part in them.
            _ if matches!(status, 502 | 504) => Self::Origin,
            _ => Self::Request,
        }
    }
}

impl Words {
    /// What has happened, for a person.
    pub(super) fn sentence(&self, status: u16, reason: &str) -> &'static str {
        self.kinds.get(Kind::of(status, reason) as usize).copied().unwrap_or_default()
    }

    /// What the rule would do that is drafted below.
    pub(super) fn of_draft(&self, reason: &str) -> &'static str {
        if reason == "client_cert_required" { self.draft_uninspected } else { self.draft }
    }
}

pub(super) const ENGLISH: Words = Words {
    language: "en",
    title: "This request was stopped at the gate",
    host: "Host",
    reason: "Reason",
    id: "Exchange",
    proxy: "Proxy",
    pac: "Automatic configuration (PAC)",
    ask: "If you need this site, tell your administrator the exchange above.",
    draft: "For the administrator: this rule would let this program through to this host.",
    draft_uninspected: "For the administrator: this rule, above the one that inspects, would let through what goes to this host, and nobody would look into it.",
    kinds: [
        "The rules of this network do not let this request out.",
        "This name or address is never a site on the Internet, so nothing is sent to it.",
        "The gate could not examine this request as the rules of this network ask.",
        "The request was allowed, but the site could not be reached or did not answer as it should.",
        "The gate cannot keep its records at the moment, and lets nothing out without one. Please tell your administrator.",
        "The request was allowed, but the gate has more to do than it can at the moment. The site is not at fault. Try again in a while.",
        "The request could not go its way through the proxies of this network. This is not the site's doing. Please tell your administrator.",
        "The request was allowed and went its way, but the site could not be reached from the other end of it. It may be out of order. Try again in a while.",
        "The request was malformed or could be read in more than one way. A browser does not send such a request.",
        "This machine has asked for this more often than the rules of this network allow. Try again in a while.",
        "The rules of this network ask who you are. Log in with the name and password that you have for this network's proxy.",
        "The gate could not make sure that this is a browser. Load the page again in a minute; if that does not help, something changes what your browser sends, such as an extension.",
        "This program did not use the proxy of this network, but went past it. Set the proxy in the program's settings or in those of this machine, and try again.",
    ],
};

pub(super) const JAPANESE: Words = Words {
    language: "ja",
    title: "この通信は関所で止められました",
    host: "接続先",
    reason: "理由",
    id: "交換番号",
    proxy: "プロキシ",
    pac: "自動構成 (PAC)",
    ask: "この接続先が必要な場合は、上の交換番号を管理者に伝えてください。",
    draft: "管理者の方へ: 次の規則を加えると、このプログラムからこの接続先への通信が許可されます。",
    draft_uninspected: "管理者の方へ: 次の規則を、通信の中身を検査する規則より前に加えると、この接続先への通信は検査されずに許可されます。",
    kinds: [
        "このネットワークの規則では、この通信は許可されていません。",
        "この名前またはアドレスはインターネット上の接続先ではないため、何も送信されません。",
        "このネットワークの規則が求める確認を、この通信に対して行えませんでした。",
        "通信は許可されましたが、接続先に到達できないか、正しい応答がありませんでした。",
        "現在、関所が記録を残せないため、通信を通すことができません。管理者に連絡してください。",
        "通信は許可されましたが、現在、関所の処理能力が限界に達しています。接続先の問題ではありません。しばらくしてからもう一度お試しください。",
        "このネットワークのプロキシを通る経路で、通信を送ることができませんでした。接続先の問題ではありません。管理者に連絡してください。",
        "通信は許可され、所定の経路で送られましたが、その先で接続先に到達できませんでした。接続先が停止している可能性があります。しばらくしてからもう一度お試しください。",
        "要求の形式が正しくないか、複数の意味に解釈できます。ブラウザーはこのような要求を送りません。",
        "この端末からの要求が、このネットワークの規則で許可されている回数を超えました。しばらくしてからもう一度お試しください。",
        "このネットワークの規則では、利用者の確認が必要です。プロキシ用の利用者名とパスワードでログインしてください。",
        "ブラウザーであることを確認できませんでした。1 分ほど待ってから再読み込みしてください。それでも開けない場合は、拡張機能などがブラウザーの送信内容を変更している可能性があります。",
        "このプログラムは、このネットワークのプロキシを使わずに通信しようとしました。プログラムまたは端末の設定でプロキシを指定してから、もう一度お試しください。",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gate_or_another_proxy_did_is_not_said_to_be_the_sites_doing() {
        for (status, reason, kind) in [
            (503, "gate_exhausted", Kind::Exhausted),
            (502, "parent_refused", Kind::Proxies),
            (502, "parent_auth_failed", Kind::Proxies),
            (502, "parent_unreachable", Kind::Proxies),
            (504, "parent_timeout", Kind::Proxies),
            (502, "parent_bad_answer", Kind::Proxies),
            (502, "loop_detected", Kind::Proxies),
            (502, "parent_cannot_reach", Kind::Beyond),
            (504, "parent_cannot_reach", Kind::Beyond),
            (502, "connect_failed", Kind::Origin),
            (400, "bad_max_forwards", Kind::Request),
        ] {
            assert_eq!(Kind::of(status, reason), kind, "{reason}");
        }
    }

    #[test]
    fn each_kind_of_reason_has_its_own_sentence_in_both_languages() {
        let reasons = [
            (403, "no_rule"),
            (403, "guard_address"),
            (403, "not_websocket"),
            (502, "dns_failed"),
            (503, "evidence_unavailable"),
            (503, "gate_exhausted"),
            (502, "parent_refused"),
            (502, "parent_cannot_reach"),
            (400, "bare_lf"),
            (429, "rate_limited"),
            (407, "log_in_needed"),
            (403, "challenge_given_up"),
            (403, "bypassed_proxy"),
        ];
        for words in [&ENGLISH, &JAPANESE] {
            let sentences: std::collections::HashSet<_> =
                reasons.iter().map(|(status, reason)| words.sentence(*status, reason)).collect();
            assert_eq!(sentences.len(), Kind::COUNT);
            assert!(!sentences.contains(""));
        }
    }

    #[test]
    fn a_rule_without_inspection_is_said_to_be_one_and_who_asked_is_not_blamed_for_its_want() {
        for words in [&ENGLISH, &JAPANESE] {
            assert_ne!(words.of_draft("client_cert_required"), words.of_draft("not_a_browser"));
        }
        assert_eq!(Kind::of(403, "client_cert_required"), Kind::Unexamined);
    }

    #[test]
    fn a_fault_of_the_origin_is_not_laid_at_the_door_of_who_asked() {
        assert_eq!(ENGLISH.sentence(502, "bare_lf"), ENGLISH.sentence(504, "connect_timeout"));
        assert_ne!(ENGLISH.sentence(502, "bare_lf"), ENGLISH.sentence(400, "bare_lf"));
    }
}
