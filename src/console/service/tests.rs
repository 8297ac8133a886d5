use std::pin::Pin;

use super::*;

struct NoGate;

impl Gatehouse for NoGate {
    fn gate(&self) -> &Arc<crate::session::Gate> {
        unreachable!("nothing here looks at a gate")
    }

    fn standing(&self) -> Standing {
        Standing::default()
    }

    fn act(&self, _deed: Deed) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async { Ok(()) })
    }
}

fn service() -> Service {
    Service::new(Plan {
        gatehouse: Arc::new(NoGate),
        data_dir: PathBuf::from("/nowhere"),
        users: PathBuf::from("/nowhere/console.users"),
        zone: TimeZone::UTC,
        names: Vec::new(),
        metrics: Vec::new(),
        cpu_percent: 25,
        is_secured: false,
        secret: [7; 32],
    })
}

/// Where each wait had the whole time for itself, this took three times as long.
#[tokio::test]
async fn all_that_a_page_waits_for_has_its_time_together() {
    let service = service();
    let asking = service.asking.clone().acquire_many_owned(QUESTIONS_MAX as u32).await.unwrap();
    let glance = service.glances.clone().acquire_owned().await.unwrap();
    let begun = std::time::Instant::now();
    let patience = Patience(Instant::now() + Duration::from_millis(200));
    for round in 0..3 {
        let asked = service.ask(patience, format!("{round}"), |_, _| Ok(())).await;
        assert!(matches!(asked, Err(NoAnswer::Busy)), "{round}");
        assert!(matches!(service.standing(patience).await, Err(NoAnswer::Busy)), "{round}");
    }
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < PATIENCE, "{waited:?}");
    // What is there at once is had though all the time is gone.
    drop((asking, glance));
    assert!(service.standing(patience).await.is_ok());
    assert_eq!(service.in_turn(patience, || 7).await.ok(), Some(7));
}
