//! A relay on loopback, and boxes with certificates of the same CA.

use super::{Config, Relay};
use schulhof_net::{
    identity::{Ca, PeerIdentity, Role},
    media::{self, trunk::Frame},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_placement::TicketKeys;
use schulhof_wire::{
    ConferenceId, SchoolId,
    node::{ALPN_RESERVE, ALPN_TRUNK, FromRelay, ToRelay, VERSION},
    ticket::NodeKind,
};
use std::net::SocketAddr;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Place {
    ca: Ca,
    relay: Relay,
    _folder: tempfile::TempDir,
}

async fn relay(participants_max: u32) -> Place {
    let ca = Ca::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    ca.issue(Role::Relay, "relay-1").unwrap().save(&identity).unwrap();
    let relay = Relay::start(config(&folder, participants_max)).await.unwrap();
    Place { ca, relay, _folder: folder }
}

fn config(folder: &tempfile::TempDir, participants_max: u32) -> Config {
    Config {
        identity: folder.path().join("identity"),
        data: folder.path().join("data"),
        quic: ANY,
        packets_per_s: None,
        bits_per_s: None,
        media: media::Config {
            trunks: None,
            turn_tls: None,
            name: "relay-1".parse().unwrap(),
            kind: NodeKind::Relay,
            listen: ANY,
            advertise: vec![ANY.ip()],
            url: "http://localhost".into(),
            ticket_keys: TicketKeys::default(),
            participants_max,
            admin: ANY,
        },
    }
}

struct Client {
    connection: quinn::Connection,
    _endpoint: Endpoint,
}

impl Client {
    async fn new(place: &Place, role: Role, name: &str) -> Self {
        let identity = place.ca.issue(role, name).unwrap();
        let options = Options { listen: ANY, identity: &identity, data: None, alpns: &[] };
        let endpoint = Endpoint::bind(options).unwrap();
        let expected = Expected::Node(PeerIdentity::new(Role::Relay, "relay-1").unwrap());
        let connection = endpoint.connect(place.relay.quic, &expected, ALPN_RESERVE).await.unwrap();
        Self { connection, _endpoint: endpoint }
    }

    async fn ask(&self, request: ToRelay) -> FromRelay {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        let mut writer = FrameWriter::new(send);
        writer.write(&request).await.unwrap();
        writer.finish();
        FrameReader::new(recv).read().await.unwrap().unwrap()
    }
}

fn math() -> ConferenceId {
    ConferenceId::new("math").unwrap()
}

fn reserve(participants: u32) -> ToRelay {
    ToRelay::Reserve { version: VERSION, room: math(), participants }
}

#[tokio::test]
async fn two_schools_reserve_rooms_of_the_same_name_side_by_side() {
    let place = relay(50).await;
    let (nord, sued) = tokio::join!(Client::new(&place, Role::Box, "nord"), Client::new(&place, Role::Box, "sued"));
    assert_eq!(nord.ask(reserve(30)).await, FromRelay::Reserved);
    assert_eq!(sued.ask(reserve(20)).await, FromRelay::Reserved);
    assert_eq!(place.relay.status().reserved, 50);
    // One school's release does not touch the other's room of the same name.
    assert_eq!(nord.ask(ToRelay::Release { version: VERSION, room: math() }).await, FromRelay::Released);
    assert_eq!(
        sued.ask(ToRelay::Load { version: VERSION }).await,
        FromRelay::Load { participants: 0, reserved: 20, participants_max: 50 }
    );
}

#[tokio::test]
async fn what_does_not_fit_is_queued_and_what_never_fits_is_refused() {
    let place = relay(50).await;
    let nord = Client::new(&place, Role::Box, "nord").await;
    let sued = Client::new(&place, Role::Box, "sued").await;
    assert_eq!(nord.ask(reserve(30)).await, FromRelay::Reserved);
    assert_eq!(nord.ask(reserve(30)).await, FromRelay::Reserved, "asking twice takes once");
    assert!(matches!(sued.ask(reserve(21)).await, FromRelay::Full { position: 1, .. }));
    assert!(matches!(sued.ask(reserve(51)).await, FromRelay::Refused { code, .. } if code == "room-too-large"));
    assert_eq!(place.relay.status().reserved, 30);
}

#[tokio::test]
async fn only_a_box_speaks_for_a_school() {
    let place = relay(50).await;
    let operator = Client::new(&place, Role::Operator, "up").await;
    assert!(matches!(operator.ask(reserve(1)).await, FromRelay::Refused { code, .. } if code == "wrong-role"));
    assert!(matches!(operator.ask(ToRelay::Load { version: VERSION }).await, FromRelay::Load { .. }));
    let core = Client::new(&place, Role::Core, "core-1").await;
    assert!(matches!(core.ask(ToRelay::Load { version: VERSION }).await, FromRelay::Refused { .. }));
}

#[tokio::test]
async fn a_gateway_reserves_for_the_school_that_it_names_and_a_box_cannot_name_another() {
    let place = relay(50).await;
    let gateway = Client::new(&place, Role::Gateway, "g-1").await;
    let nord = Client::new(&place, Role::Box, "nord").await;
    let school = || SchoolId::new("nord").unwrap();
    let named = |participants| ToRelay::ReserveFor { version: VERSION, school: school(), room: math(), participants };
    assert_eq!(gateway.ask(named(20)).await, FromRelay::Reserved);
    // The same room, however it is named: box and gateway send their people to one place.
    assert_eq!(nord.ask(reserve(30)).await, FromRelay::Reserved);
    assert_eq!(place.relay.status().reserved, 30);
    assert!(matches!(nord.ask(named(1)).await, FromRelay::Refused { code, .. } if code == "wrong-role"));
    assert!(matches!(gateway.ask(reserve(1)).await, FromRelay::Refused { code, .. } if code == "wrong-role"));
    let release = ToRelay::ReleaseFor { version: VERSION, school: school(), room: math() };
    assert_eq!(gateway.ask(release).await, FromRelay::Released);
    assert_eq!(place.relay.status().reserved, 0);
}

#[tokio::test]
async fn another_version_is_told_so_and_nonsense_too() {
    let place = relay(50).await;
    let nord = Client::new(&place, Role::Box, "nord").await;
    let later = ToRelay::Reserve { version: VERSION + 1, room: math(), participants: 1 };
    assert!(matches!(nord.ask(later).await, FromRelay::Refused { code, .. } if code == "version"));
    let (mut send, recv) = nord.connection.open_bi().await.unwrap();
    send.write_all(&[0, 0, 0, 1, 99]).await.unwrap();
    let answer = FrameReader::<FromRelay>::new(recv).read().await.unwrap().unwrap();
    assert!(matches!(answer, FromRelay::Refused { code, .. } if code == "malformed"));
    assert_eq!(nord.ask(reserve(1)).await, FromRelay::Reserved, "the connection goes on");
}

#[tokio::test]
async fn a_drained_relay_promises_nothing_more_and_ends_when_it_is_empty() {
    let place = relay(50).await;
    let nord = Client::new(&place, Role::Box, "nord").await;
    let operator = Client::new(&place, Role::Operator, "up").await;
    assert_eq!(nord.ask(reserve(3)).await, FromRelay::Reserved);
    let drain = || ToRelay::Drain { version: VERSION };
    assert!(matches!(nord.ask(drain()).await, FromRelay::Refused { code, .. } if code == "wrong-role"));
    let home = ToRelay::Return { version: VERSION, room: math() };
    assert!(matches!(operator.ask(home.clone()).await, FromRelay::Refused { code, .. } if code == "wrong-role"));
    assert_eq!(nord.ask(home).await, FromRelay::Asked);
    assert_eq!(operator.ask(drain()).await, FromRelay::Draining { participants: 0, rooms: 0 });
    assert!(matches!(nord.ask(reserve(3)).await, FromRelay::Refused { code, .. } if code == "draining"));
    place.relay.empty().await;
    assert_eq!(
        operator.ask(drain()).await,
        FromRelay::Draining { participants: 0, rooms: 0 },
        "it says so before it ends"
    );
}

#[tokio::test]
async fn a_relay_with_anothers_certificate_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::generate().unwrap();
    ca.issue(Role::Relay, "relay-2").unwrap().save(&folder.path().join("identity")).unwrap();
    let error = Relay::start(config(&folder, 1)).await.err().unwrap().to_string();
    assert_eq!(error, "media.name is relay-1, but the certificate is of relay relay-2");
}

mod gate {
    use super::super::book::Book;
    use schulhof_placement::{Admitted, Budget, Room};
    use schulhof_wire::ticket::{Claims, MediaNode, MediaRole, NodeKind, VERSION};

    fn claims(room: &str) -> Claims {
        Claims {
            v: VERSION,
            id: "r".into(),
            school: "nord".parse().unwrap(),
            room: room.parse().unwrap(),
            account: "anna".parse().unwrap(),
            name: "Anna".into(),
            role: MediaRole::Participant,
            audio_slots: 3,
            video_slots: 9,
            primary: MediaNode { name: "nord".parse().unwrap(), kind: NodeKind::Box, url: "http://localhost".into() },
            standby: None,
            expires_at_ms: 0,
        }
    }

    #[test]
    fn nobody_takes_a_place_that_was_promised_to_others() {
        let book = Book::new(Budget::of_participants(50));
        let math = Room { school: "nord".parse().unwrap(), conference: "math".parse().unwrap() };
        assert_eq!(book.reserve(&math, 30), Admitted::Reserved);
        // A reserved room comes in, however full it is; another only to places that are certainly free.
        assert!(book.admits(&claims("math"), 49));
        assert!(book.admits(&claims("art"), 19));
        assert!(!book.admits(&claims("art"), 20));
        book.release(&math);
        assert!(book.admits(&claims("art"), 49));
        assert!(!book.admits(&claims("art"), 50));
    }
}

#[tokio::test]
async fn the_trunk_door_is_for_boxes_and_counts_what_crosses_it() {
    let place = relay(10).await;
    let dial = async |role, name| {
        let identity = place.ca.issue(role, name).unwrap();
        let options = Options { listen: ANY, identity: &identity, data: None, alpns: &[] };
        let endpoint = Endpoint::bind_for_media(options).unwrap();
        let expected = Expected::Node(PeerIdentity::new(Role::Relay, "relay-1").unwrap());
        let connection = endpoint.connect(place.relay.quic, &expected, ALPN_TRUNK).await.unwrap();
        (endpoint, connection)
    };
    let (_endpoint, operator) = dial(Role::Operator, "ops").await;
    let closed = operator.closed().await;
    assert!(closed.to_string().contains("for boxes"), "{closed}");

    let (_endpoint, nord) = dial(Role::Box, "nord").await;
    let (send, receive) = nord.open_bi().await.unwrap();
    let (mut writer, mut reader) = (FrameWriter::<Frame>::new(send), FrameReader::<Frame>::new(receive));
    writer.write(&Frame::Hello { version: 1, node: "nord".parse().unwrap() }).await.unwrap();
    let hello = reader.read().await.unwrap();
    assert_eq!(hello, Some(Frame::Hello { version: 1, node: "relay-1".parse().unwrap() }));
    assert!(nord.max_datagram_size().is_some());
    writer.write(&Frame::Hello { version: 99, node: "nord".parse().unwrap() }).await.unwrap();
    nord.closed().await;
}
