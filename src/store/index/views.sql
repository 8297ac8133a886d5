-- What one day gives to the views that `views.rs` documents. DAY stands for its number, DATE for its date.

-- exchanges
SELECT 'DATE' AS day, x.seq AS seq, time_text(DAY * 86400000000 + x.at) AS time,
    exchange_id(DAY * 86400000000 + x.at) AS id, exchange_id(DAY * 86400000000 + x.inside) AS inside,
    c.name AS client, u.name AS user, m.name AS method, s.name AS scheme, h.name AS host, h.domain AS domain,
    CASE WHEN x.host IS NULL THEN nullif(n.port, 443) ELSE n.port END AS port, t.name AS path,
    CASE n.event WHEN 0 THEN 'open' WHEN 1 THEN 'refused' ELSE 'answered' END AS event,
    nullif(j.verdict, '') AS verdict, nullif(j.would, '') AS would, nullif(j.reason, '') AS reason,
    nullif(j.rule, '') AS rule, nullif(j.rule_at, '') AS rule_at, x.stopped AS stopped,
    nullif(p.user_agent, '') AS user_agent, nullif(p.ja4, '') AS ja4, nullif(p.tls_key, '') AS tls_key,
    g.name AS standing, w.name AS captured, a.name AS dialled, nullif(n.status, 0) AS status, k.name AS content_type, b.name AS body_type,
    x.up AS bytes_up, x.down AS bytes_down, x.total_ms AS total_ms,
    nullif(e.closed_by, '') AS closed_by, nullif(e.closed_how, '') AS closed_how, nullif(e.class, '') AS failure,
    n.open AS open
FROM x_DAY x LEFT JOIN manner n ON n.id = x.manner
    LEFT JOIN client c ON c.id = x.client LEFT JOIN user u ON u.id = x.user
    LEFT JOIN word m ON m.id = n.method LEFT JOIN word s ON s.id = n.scheme
    LEFT JOIN host h ON h.id = x.host LEFT JOIN path t ON t.id = x.path
    LEFT JOIN judgement j ON j.id = x.judgement LEFT JOIN program p ON p.id = x.program
    LEFT JOIN word g ON g.id = n.standing LEFT JOIN address a ON a.id = x.dialled
    LEFT JOIN word k ON k.id = n.content_type LEFT JOIN word b ON b.id = n.body_type
    LEFT JOIN ending e ON e.id = x.ending LEFT JOIN address w ON w.id = x.captured

-- contacts
SELECT 'DATE' AS day, c.name AS client, h.name AS host, h.domain AS domain,
    time_text(DAY * 86400000000 + p.first * 1000) AS first, time_text(DAY * 86400000000 + p.last * 1000) AS last,
    p.requests AS requests, p.tunnels AS tunnels, p.challenged AS challenged, p.denied AS denied, p.would AS would,
    p.failed AS failed, p.up AS bytes_up, p.down AS bytes_down
FROM p_DAY p LEFT JOIN client c ON c.id = p.client LEFT JOIN host h ON h.id = p.host
