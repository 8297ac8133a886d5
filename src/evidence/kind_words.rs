use super::finding::FindingKind;

impl FindingKind {
    /// For people, in English and in Japanese.
    pub fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Beacon => ("beacon", "定期通信"),
            Self::RotatingBeacon => ("rotating beacon", "ホストを変える定期通信"),
            Self::AddressBeacon => ("beacon to one address", "同一アドレスへの定期通信"),
            Self::AlwaysOn => ("always on", "終日の通信"),
            Self::UnknownTunnel => ("unknown tunnel", "未知の相手へのトンネル"),
            Self::LongTunnel => ("long tunnel", "長時間のトンネル"),
            Self::ReopenedTunnel => ("reopened tunnel", "切断直後に再接続するトンネル"),
            Self::UploadTunnel => ("upload tunnel", "送信に偏ったトンネル"),
            Self::InteractiveTunnel => ("interactive tunnel", "対話操作のトンネル"),
            Self::KeptTunnel => ("kept tunnel", "維持され続けるトンネル"),
            Self::NightBulk => ("bulk at night", "夜間の大量送信"),
            Self::UnusualVolume => ("unusual volume", "普段より多い送信量"),
            Self::SmallUploads => ("many small uploads", "少量送信の積み重ね"),
            Self::NameChannel => ("channel in names", "ホスト名を使った通信路"),
            Self::GrowingBodies => ("growing bodies", "増え続ける送信データ"),
            Self::UnresolvedNames => ("unresolved names", "存在しない名前への要求"),
            Self::FailedConnects => ("failed connects", "接続の失敗"),
            Self::FailedChallenges => ("failed challenges", "チャレンジ・認証の失敗"),
            Self::UserOnSeveralClients => ("user on several clients", "複数端末での同一利用者"),
            Self::OutOfHours => ("out of hours", "時間外の利用"),
            Self::Mimic => ("mimic", "ブラウザの偽装"),
            Self::StrangeKey => ("strange key", "ブラウザと異なるTLS指紋"),
            Self::ManyAgents => ("many agents", "名乗りを変えるプログラム"),
            Self::LoneProgram => ("lone program", "他の端末にないプログラム"),
            Self::Carrier => ("carrier", "不審な取得ファイル"),
            Self::Spread => ("spread", "急な広がり"),
            Self::SameFetch => ("same fetch", "同一サイズの取得"),
            Self::CommonChange => ("common change", "同時刻の周期変化"),
            Self::PortScan => ("port scan", "ポートスキャン"),
            Self::Sweep => ("sweep", "多数の相手への探索"),
            Self::BruteForce => ("brute force", "総当たりの接続"),
            Self::PeerSpread => ("spread inside", "内部の多数の端末への接続"),
            Self::Tripwire => ("tripwire", "未使用ポートへの接触"),
            Self::CriticalAttempt => ("attempt from a critical segment", "重要区画からの外部接続の試み"),
            Self::DirectCall => ("direct call home", "プロキシを通らない反復接続"),
            Self::FlowVolume => ("sudden volume", "通信量の急増"),
            Self::Staging => ("staging", "内部での集積と外部送信"),
            Self::MailBurst => ("mail burst", "大量のメール送信"),
            Self::Flood => ("flood", "大量の接続試行"),
            Self::SilentSource => ("silent source", "記録元の途絶"),
        }
    }
}
