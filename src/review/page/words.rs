use crate::detect::Counts;
use crate::evidence::Severity;

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
