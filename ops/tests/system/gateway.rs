//! A box dies in the middle of a lesson: its people go on over the gateway, and back.

use crate::{
    harness::{SOON, System, core_entries, signal, until},
    person::Person,
};
use rustix::process::Signal;
use schulhof_wire::ticket::NodeKind;

const ROOM: &str = "5a";
const ROUNDS: usize = 5;

#[tokio::test]
async fn people_go_on_over_the_gateway_while_the_box_is_dead_and_everything_meets_in_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::start(dir.path()).await;
    let status = system.status();
    let gateway = status.nodes.iter().find(|node| node.kind == "gateway").expect("a gateway");
    assert!(gateway.ready && gateway.status["schools"] == 2 && gateway.status["open"] == 0, "{gateway:?}");

    let url = system.node("nord").url;
    let mut maria = Person::sign_in(&url, "m.weber").await;
    let mut written = Vec::new();
    for n in 0..ROUNDS {
        maria.write(ROOM, &format!("an der Box {n}")).await;
        written.push(format!("an der Box {n}"));
    }
    maria.until_secured().await;
    let way_out = maria.way_out().await;
    assert_eq!(Some(&way_out.url), system.node("nord").gateway.as_ref());

    // `up` stands still, so that the box stays dead.
    signal(system.up_pid(), Signal::STOP);
    system.kill("nord");
    maria.go_to(&way_out);
    let view = until("the gateway has loaded the school", SOON, async || maria.session().await).await;
    assert_eq!((view.served_by.as_str(), view.served_by_kind), ("gateway-1", NodeKind::Gateway));
    let before: Vec<_> = maria.history(ROOM).await.into_iter().map(|message| message.text).collect();
    assert!(written.iter().all(|text| before.contains(text)), "{before:?}");
    for n in 0..ROUNDS {
        maria.write(ROOM, &format!("über die Cloud {n}")).await;
        written.push(format!("über die Cloud {n}"));
    }
    maria.until_secured().await;

    signal(system.up_pid(), Signal::CONT);
    system.until_ready().await;
    maria.return_to_box();
    until("the box has what was written elsewhere", SOON, async || {
        let marks = maria.marks().await?;
        if marks.secured.0 == written.len() as u64 { Ok(()) } else { Err(format!("{marks:?}")) }
    })
    .await;
    maria.write(ROOM, "wieder an der Box").await;
    written.push("wieder an der Box".to_owned());
    maria.until_secured().await;

    let own = |history: Vec<schulhof_school::view::MessageView>| -> Vec<_> {
        history.into_iter().filter(|m| written.contains(&m.text)).map(|m| (m.index, m.text)).collect()
    };
    let at_box = own(maria.history(ROOM).await);
    assert_eq!(at_box.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>(), written, "each once, in order");
    maria.go_to(&way_out);
    until("the gateway has it too", SOON, async || {
        let there = own(maria.history(ROOM).await);
        if there == at_box { Ok(()) } else { Err(format!("{there:?}")) }
    })
    .await;

    let data: Vec<_> = ["core-1", "core-2", "core-3"].map(|name| system.node(name).data).into();
    assert!(system.stop().success());
    let entries: Vec<_> = data.iter().map(|data| core_entries(data, 1, "nord")).collect();
    let of = |text: &String| entries[0].iter().filter(|(_, op, _)| String::from_utf8_lossy(op).contains(text)).count();
    assert!(written.iter().all(|text| of(text) == 1), "{written:?}");
}
