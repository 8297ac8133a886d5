use super::html::Words;
use crate::review::questions::FULL;

/// The heads of columns, the names of facts and of tables, by the stable keys of answers. A test asks every question and sees
/// that none is missing.
pub(super) fn key_in_words(key: &str) -> Option<Words> {
    Some(match key {
        "action" => ("Action", "操作"),
        "address" => ("Address", "アドレス"),
        "addresses" => ("Addresses", "アドレス"),
        "at" => ("Place", "場所"),
        "at_fault" => ("At fault", "原因"),
        "beyond" => ("Beyond", "上限超過"),
        "blocked" => ("Blocked", "遮断"),
        "by_firewall" => ("By firewalls", "ファイアウォールによる遮断"),
        "bytes" => ("Bytes", "バイト数"),
        "cause" => ("Cause", "原因"),
        "by_client" => ("By client", "端末別"),
        "certainty" => ("Certainty", "確かさ"),
        "challenged" => ("Challenged", "確認要求"),
        "client" => ("Client", "端末"),
        "clients" => ("Clients", "端末"),
        "clients_of_all" => ("Clients in all", "全端末数"),
        "day" => ("Day", "日"),
        "days" => ("Days", "日別"),
        "denied" => ("Denied", "拒否"),
        "destinations" => ("Destinations", "通信先"),
        "detail" => ("In words", "説明"),
        "device" => ("Device", "機器"),
        "domain" => ("Domain", "ドメイン"),
        "down" => ("Down", "受信"),
        "ended" => ("Ended", "終わり方"),
        "english" | "japanese" => ("In words", "説明"),
        "errors" => ("Errors", "失敗"),
        "failed" => ("Failed", "失敗"),
        "failure" => ("Failure", "失敗の種類"),
        "finding" => ("Finding", "検出"),
        "findings" => ("Findings", "検出"),
        "firewall" => ("Stopped by firewalls, by rule", "ファイアウォールによる遮断（規則別）"),
        "first" => ("First", "最初"),
        "first_client" => ("First client", "最初の端末"),
        "first_host" => ("First host", "最初のホスト"),
        "first_seen" => ("First seen", "初出"),
        "first_seen_by" => ("First seen by", "最初の端末"),
        "first_seen_device" => ("First seen device", "最初の機器"),
        "gaps" => ("Gaps in the evidence, 7 days", "記録の欠落（7日間）"),
        "high" => ("High", "高"),
        "host" => ("Host", "ホスト"),
        "hosts" => ("Hosts", "ホスト"),
        "id" => ("Exchange", "交換ID"),
        "ja4" => ("JA4", "JA4"),
        "kind" => ("Kind", "種類"),
        "last" => ("Last", "最後"),
        "let_out" => ("Let out", "許可"),
        "list" => ("One by one", "一覧"),
        "mark" => ("Mark", "判定"),
        "method" => ("Method", "メソッド"),
        "missing" => ("Missing", "欠けた数"),
        "names" => ("Names", "名前"),
        "on_one_client" => ("On one client", "1台だけ"),
        "port" => ("Port", "ポート"),
        "state" => ("State", "状態"),
        "count" => ("Count", "件数"),
        "past_proxy" => ("Past the proxy", "プロキシ外通信"),
        "protocol" => ("Protocol", "プロトコル"),
        "packets" => ("Packets", "パケット数"),
        "source" => ("Source", "情報源"),
        "program" => ("Program", "プログラム"),
        "programs" => ("Programs", "プログラム"),
        "reason" => ("Reason", "理由"),
        "reasons" => ("Reasons", "理由別"),
        "record" => ("Record", "記録番号"),
        "refused" => ("Refused", "拒否"),
        "requests" => ("Requests", "件数"),
        "rule" => ("Rule", "ルール"),
        "severity" => ("Severity", "重要度"),
        "since" => ("Since", "開始"),
        "status" => ("Status", "状態コード"),
        "rules" => ("Rules", "ルール"),
        "new_hosts" => ("New hosts", "初出ホスト"),
        "with_tunnels" => ("With tunnels", "トンネルあり"),
        "stopped" => ("Stopped", "遮断"),
        "target" => ("Target", "通信先"),
        "time" => ("Time", "時刻"),
        "tls_key" => ("TLS key", "TLSキー"),
        "tunnels" => ("Tunnels", "トンネル"),
        "until" => ("Until", "終了"),
        "up" => ("Up", "送信"),
        "user" => ("User", "利用者"),
        "verdict" => ("Verdict", "判断"),
        "would" => ("Would be", "強制時"),
        "would_be_blocked" => ("Would be blocked", "強制時に遮断"),
        "dns" => ("Name not found", "名前解決"),
        "unanswered" => ("Unanswered", "応答なし"),
        "reset" => ("Reset", "リセット"),
        "tls" => ("TLS", "TLS"),
        "other" => ("Other", "その他"),
        "endings" => ("How they ended", "失敗の終わり方"),
        "exchanges" => ("Exchanges", "交換"),
        "events" => ("Other records", "その他の記録"),
        "by" => ("Alike in", "同じもの"),
        "value" => ("Value", "値"),
        "hits" => ("Hits", "一致"),
        "hit" => ("Indicators found", "一致した指標"),
        "indicators" => ("Indicators", "指標"),
        "indicator" => ("Indicator", "指標"),
        "fit" => ("Fits", "一致の仕方"),
        "found" => ("Found", "見つかったもの"),
        "line" => ("Line", "行"),
        "text" => ("Text", "内容"),
        "not_understood" => ("Not understood", "読めない行"),
        _ => return None,
    })
}

/// Why something is missing in the evidence, by the causes of records of kind `gap`.
pub(super) fn cause_in_words(cause: &str) -> Option<Words> {
    Some(match cause {
        "client_connections_overflowed" => {
            ("one client had too many connections open", "1台の端末の接続数が上限を超過")
        }
        "connections_overflowed" => ("too many connections were open", "接続数が上限を超過"),
        "damaged_tail" => ("the end of the journal was damaged", "記録の末尾が破損"),
        "flows_lost" => ("flows were lost on their way to the gate", "プロキシ外通信の記録を受信前に喪失"),
        "flows_unrecorded" => ("flows were not put on record", "プロキシ外通信を記録できず"),
        "records_lost" => ("records could not be written", "記録を書き込めず"),
        "reserve" => ("the disk was full", "ディスクが満杯"),
        "sync_failed" => ("the disk did not confirm what was written", "ディスクが書き込みを確認せず"),
        "torn_tail" => ("the gate or its machine went down", "ゲートまたは機器が停止"),
        _ => return None,
    })
}

/// What a reader of an answer must know, where it is a sentence that answers always have.
pub(super) fn note_in_words(note: &str) -> Option<Words> {
    Some(match note {
        "for some of its time it is uncertain that the address was this device" => (
            "For some of its time it is uncertain that the address was this device.",
            "期間の一部で、このアドレスがこの機器だったか確かではありません。",
        ),
        "`host of url`: the host was seen and the path was not; within a tunnel no path is" => (
            "Host of URL: the host was seen and the path was not; within a tunnel no path is.",
            "URLのホスト：ホストは見られましたが、パスは見られていません。トンネルの中のパスは見えません。",
        ),
        "`url`: host and path are the same; the query is another, or none was asked for" => (
            "URL: host and path are the same; the query is another, or none was asked for.",
            "URL：ホストとパスが一致しました。クエリは異なるか、指定されていません。",
        ),
        "`url and query`: the query is the same too, by its keyed hash on record" => (
            "URL and query: the query is the same too, by its keyed hash on record.",
            "URLとクエリ：記録にある鍵付きハッシュでクエリも一致しました。",
        ),
        "there are more: `more` says only that, as counting them all would read all exchanges" => {
            ("There are more; they are not counted.", "ほかにもあります（数えていません）。")
        }
        "no exchange on record is of this host" => {
            ("No exchange on record is of this host.", "このホストとの交換の記録はありません。")
        }
        "`past proxy`: attempts to get there without it, as firewalls and connection tracking saw them" => (
            "Past the proxy: attempts to get there without it, as firewalls and connection tracking saw them.",
            "プロキシ外通信：プロキシを通らずに接続しようとした記録です（ファイアウォールと接続追跡による）。",
        ),
        "`clients` are machines: a device counts once, whatever addresses it had" => (
            "Clients are machines: a device counts once, whatever addresses it had.",
            "端末数は機器の数です。アドレスが変わった機器も1台と数えます。",
        ),
        FULL => (
            "There was more to tell apart than is held in memory: what came last has no row of its own, and counts of clients \
             and hosts are at least so many. Ask for fewer days.",
            "区別すべき件数がメモリの上限を超えました。後から現れたものは行に含まれず、端末数とホスト数は最小値です。日数を減らしてください。",
        ),
        "a User-Agent is what software says of itself; JA4 and tls_key are what its TLS shows" => (
            "A User-Agent is what software says of itself; JA4 and TLS key are what its TLS shows.",
            "User-Agentはソフトウェアの自称です。JA4とTLSキーはTLSに現れた特徴です。",
        ),
        _ => return None,
    })
}

/// Values that are words of this program: classes of failures, how an indicator fits, what it is, in what exchanges are alike.
pub(super) fn value_in_words(value: &str) -> Option<Words> {
    Some(match value {
        "dns" => ("name not found", "名前解決の失敗"),
        "refused" => ("refused", "拒否"),
        "unanswered" => ("unanswered", "応答なし"),
        "reset" => ("reset", "リセット"),
        "tls" => ("TLS", "TLS"),
        "other" => ("other", "その他"),
        "dropped" => ("dropped", "破棄"),
        "established" => ("established", "確立"),
        "closed" => ("closed", "終了"),
        "past proxy" => ("past the proxy", "プロキシ外通信"),
        "host of url" => ("host of URL", "URLのホスト"),
        "dialled" => ("dialled", "接続先アドレス"),
        "below" => ("below", "下位の名前"),
        "program" => ("program", "プログラム"),
        "url and query" => ("URL and query", "URLとクエリ"),
        "body" => ("body", "本文"),
        "host" => ("host", "ホスト"),
        "address" => ("address", "アドレス"),
        "prefix" => ("prefix", "プレフィックス"),
        "url" => ("URL", "URL"),
        "ja4" => ("JA4", "JA4"),
        "sha256" => ("SHA-256", "SHA-256"),
        "domain" => ("registrable domain", "登録ドメイン"),
        "network" => ("network", "ネットワーク"),
        "path" => ("path template", "パスの型"),
        "size" => ("bytes down", "受信バイト数"),
        "minute" => ("minute", "1分間"),
        "client" => ("client", "端末"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What a quoted key stands in front of, in the questions that pages ask.
    const MARKS: [&str; 3] = ["\", Shape::", "\", Cell::", "\", &"];
    const QUESTIONS: [&str; 14] = [
        "around", "blocked", "client", "errors", "findings", "flows", "gaps", "host", "like", "programs", "rows",
        "rules", "sweep", "unknown",
    ];

    fn source(room: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)).unwrap()
    }

    /// The quoted words behind each of these marks.
    fn quoted_behind(text: &str, mark: &str) -> Vec<String> {
        text.match_indices(mark).map(|(at, _)| text[at + mark.len()..].split('"').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_value_that_is_a_word_of_this_program_has_words_in_both_languages() {
        let sweep = source("review/questions/sweep.rs");
        let kinds = source("review/questions/indicators.rs");
        let like = source("review/questions/like.rs");
        let errors = source("review/questions/errors.rs");
        let classes = errors.split_once("const CLASSES").unwrap().1.split_once("];").unwrap().0;
        let classes: Vec<String> = classes.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let kinds = kinds.split_once("pub fn kind").unwrap().1.split_once("\n    }").unwrap().0;
        let all = [
            quoted_behind(&sweep.replace("Fit::", "\nFit::"), " => \""),
            quoted_behind(kinds, " => \""),
            quoted_behind(&like, " => \""),
            classes.clone(),
        ];
        assert_eq!(all.each_ref().map(Vec::len), [9, 6, 8, 6], "the marks are still those of the code: {all:?}");
        for value in all.iter().flatten() {
            let words = value_in_words(value).unwrap_or_else(|| panic!("`{value}` has no words"));
            assert!(!words.0.is_empty() && !words.1.is_empty(), "{value}");
        }
        for class in &classes {
            assert!(key_in_words(class).is_some(), "the column {class}");
        }
    }

    #[test]
    fn every_sentence_that_answers_always_have_has_words_in_both_languages() {
        let mut seen = 0;
        for name in QUESTIONS {
            let text = source(&format!("review/questions/{name}.rs"));
            let notes = quoted_behind(&text, ".push(\"");
            assert!(note_in_words(FULL).is_some());
            for note in notes.iter().filter(|note| note.contains(' ')) {
                assert!(note_in_words(note).is_some(), "`{note}` of {name} has no words");
                seen += 1;
            }
        }
        assert!(seen >= 5, "the marks are still those of the code: {seen}");
    }

    #[test]
    fn every_cause_of_a_gap_that_the_gate_knows_has_words_in_both_languages() {
        let rooms = ["session/gate.rs", "store/journal.rs", "store/writer.rs", "gateway/flows/outbox.rs"];
        let mut seen = Vec::new();
        for room in rooms {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)).unwrap();
            for mark in ["cause: \"", "gap(\""] {
                let found = text.match_indices(mark).map(|(at, _)| text[at + mark.len()..].split('"').next().unwrap());
                seen.extend(found.map(str::to_owned));
            }
        }
        seen.sort();
        seen.dedup();
        for cause in &seen {
            let words = cause_in_words(cause).unwrap_or_else(|| panic!("`{cause}` has no words"));
            assert!(!words.0.is_empty() && !words.1.is_empty(), "{cause}");
        }
        assert_eq!(seen.len(), 9, "the marks are still those of the code: {seen:?}");
    }

    #[test]
    fn every_key_of_every_answer_that_is_shown_has_words_in_both_languages() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/review/questions");
        let mut seen = 0;
        for name in QUESTIONS {
            let text = fs::read_to_string(directory.join(name).with_extension("rs")).unwrap();
            for mark in MARKS {
                for (before, _) in text.match_indices(mark).map(|(at, _)| text.split_at(at)) {
                    let key = before.rsplit('"').next().unwrap();
                    if key.is_empty()
                        || !key.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'))
                    {
                        continue;
                    }
                    let words = key_in_words(key).unwrap_or_else(|| panic!("`{key}` of {name} has no words"));
                    assert!(!words.0.is_empty() && !words.1.is_empty(), "{key}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 80, "the marks are still those of the code: {seen}");
    }
}
