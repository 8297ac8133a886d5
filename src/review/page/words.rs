use crate::detect::Counts;
use crate::evidence::{FindingKind, Severity};

/// Words in English and in Japanese.
type Words = (&'static str, &'static str);

/// Both beside each other, the second marked as what it is. They are taken as they are.
pub(super) fn both(english: &str, japanese: &str) -> String {
    format!("{english} <span lang=\"ja\">{japanese}</span>")
}

pub(super) fn severity(of: Severity) -> Words {
    match of {
        Severity::High => ("high", "高"),
        Severity::Medium => ("medium", "中"),
        Severity::Low => ("low", "低"),
    }
}

pub(super) fn kind(of: FindingKind) -> Words {
    match of {
        FindingKind::Beacon => ("beacon", "定期通信"),
        FindingKind::RotatingBeacon => ("rotating beacon", "ホストを変える定期通信"),
        FindingKind::AddressBeacon => ("beacon to one address", "同一アドレスへの定期通信"),
        FindingKind::AlwaysOn => ("always on", "終日の通信"),
        FindingKind::UnknownTunnel => ("unknown tunnel", "未知の相手へのトンネル"),
        FindingKind::LongTunnel => ("long tunnel", "長時間のトンネル"),
        FindingKind::ReopenedTunnel => ("reopened tunnel", "切断直後に再接続するトンネル"),
        FindingKind::UploadTunnel => ("upload tunnel", "送信に偏ったトンネル"),
        FindingKind::InteractiveTunnel => ("interactive tunnel", "対話操作のトンネル"),
        FindingKind::KeptTunnel => ("kept tunnel", "維持され続けるトンネル"),
        FindingKind::NightBulk => ("bulk at night", "夜間の大量送信"),
        FindingKind::UnusualVolume => ("unusual volume", "普段より多い送信量"),
        FindingKind::SmallUploads => ("many small uploads", "少量送信の積み重ね"),
        FindingKind::NameChannel => ("channel in names", "ホスト名を使った通信路"),
        FindingKind::GrowingBodies => ("growing bodies", "増え続ける送信データ"),
        FindingKind::UnresolvedNames => ("unresolved names", "存在しない名前への要求"),
        FindingKind::FailedConnects => ("failed connects", "接続の失敗"),
        FindingKind::FailedChallenges => ("failed challenges", "チャレンジ・認証の失敗"),
        FindingKind::UserOnSeveralClients => ("user on several clients", "複数端末での同一利用者"),
        FindingKind::OutOfHours => ("out of hours", "時間外の利用"),
        FindingKind::Mimic => ("mimic", "ブラウザの偽装"),
        FindingKind::StrangeKey => ("strange key", "ブラウザと異なるTLS指紋"),
        FindingKind::ManyAgents => ("many agents", "名乗りを変えるプログラム"),
        FindingKind::LoneProgram => ("lone program", "他の端末にないプログラム"),
        FindingKind::Carrier => ("carrier", "不審な取得ファイル"),
        FindingKind::Spread => ("spread", "急な広がり"),
        FindingKind::SameFetch => ("same fetch", "同一サイズの取得"),
        FindingKind::CommonChange => ("common change", "同時刻の周期変化"),
    }
}

/// What was counted: what was taken always, what was lost or passed over where there was any.
pub(super) fn counted(counts: &Counts) -> impl Iterator<Item = (Words, u64)> {
    let taken = [
        (("Events", "イベント"), counts.events),
        (("Clients", "端末"), counts.clients),
        (("Hosts", "ホスト"), counts.hosts),
        (("Pairs of them", "端末とホストの組"), counts.pairs),
    ];
    let lost = [
        (("Events that came late", "遅れて届いたイベント"), counts.late),
        (("Events that came twice", "重複したイベント"), counts.repeated),
        (("Pairs that had to go for others", "上限で忘れた組"), counts.pairs_evicted),
        (("Names that had to go for others", "上限で忘れた名前"), counts.names_evicted),
        (("Exchanges without room", "上限で追えなかった通信"), counts.exchanges_beyond),
        (("Findings without room", "上限で伝えなかった検出"), counts.findings_beyond),
        (("Allowed findings", "許可済みの検出"), counts.allowed),
        (("Findings as explained", "説明済みの検出"), counts.explained),
    ];
    taken.into_iter().chain(lost.into_iter().filter(|(_, count)| *count > 0))
}
