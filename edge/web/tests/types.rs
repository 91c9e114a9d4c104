//! The TypeScript types of the browser client are those of the Rust sources.
//!
//! `UPDATE_TYPES=1 cargo test -p schulhof-web` writes `src/protocol/types.ts` anew.

use schulhof_school::{exam, op, timetable as lessons, view};
use schulhof_wire::{api, id, import, live, media, pass, problem, ticket, timetable};
use std::{fmt::Write, fs, path::Path};
use ts_rs::{Config, TS};

const HEAD: &str = "\
// Made from the Rust types of shared/wire and shared/school: do not edit.
// `UPDATE_TYPES=1 cargo test -p schulhof-web` writes it anew.
";

fn declare<T: TS>(text: &mut String) {
    let config = Config::default();
    if let Some(docs) = T::docs() {
        text.push_str(docs.trim_end());
        text.push('\n');
    }
    writeln!(text, "export {}\n", T::decl(&config)).expect("a string takes everything");
}

macro_rules! types {
    ($($type:ty),+ $(,)?) => {{
        let mut text = format!("{HEAD}\n");
        $(declare::<$type>(&mut text);)+
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }};
}

/// Stands for the parameters of generic types; `decl` prints their names, not these.
type Room = view::RoomView;
type Message = view::MessageView;
type Conference = view::ConferenceView;

#[test]
#[expect(clippy::too_many_lines, reason = "a list")]
fn types_are_current() {
    let text = types![
        id::SchoolId,
        id::AccountId,
        id::GroupId,
        id::RoomId,
        id::ConferenceId,
        id::ExamId,
        id::DeviceId,
        id::NodeName,
        id::LogIndex,
        id::Seq,
        id::Hlc,
        schulhof_wire::BlobHash,
        op::Role,
        op::GroupKind,
        op::Attachment,
        op::PeopleChange,
        schulhof_wire::Day,
        lessons::Weeks,
        lessons::Lesson,
        lessons::Period,
        lessons::Settings,
        lessons::changes::Kind,
        lessons::changes::Substitution,
        lessons::duties::Duty,
        lessons::Item,
        lessons::Scope,
        exam::Kind,
        exam::Exam,
        exam::Over,
        exam::Blocked,
        exam::Rules,
        op::Body,
        view::RoomKind,
        view::PersonView,
        view::GroupView,
        view::RoomView,
        view::MessageView,
        view::ConferenceView,
        view::exam::ExamView,
        view::exam::ExamsView,
        view::exam::DayLoad,
        view::timetable::ChangeView,
        view::timetable::DutyView,
        view::timetable::LessonView,
        view::timetable::DayView,
        view::timetable::WeekView,
        view::timetable::TeacherView,
        view::timetable::PlanView,
        view::timetable::TimetableView,
        view::timetable::ScreenRow,
        view::timetable::ScreenDay,
        view::timetable::ScreenView,
        problem::Problem,
        ticket::NodeKind,
        ticket::MediaNode,
        ticket::MediaRole,
        ticket::Claims,
        pass::GatewayView,
        api::LoginRequest,
        api::SessionView,
        api::SubmitRequest<op::Body>,
        api::Submitted<op::Body>,
        api::SubmitState,
        api::SubmitResult,
        api::SubmitAnswer,
        api::DeviceMarks,
        api::Page<Message>,
        api::UploadRequest,
        api::UploadAnswer,
        api::UploadProgress,
        api::TicketAnswer,
        import::ListField,
        import::ListColumn,
        import::ListFormat,
        import::NewPerson,
        import::ChangedPerson,
        import::Leaver,
        import::ListProblem,
        import::ImportPlan,
        import::FirstPassword,
        import::ImportDone,
        import::ImportView,
        import::PasswordRequest,
        timetable::FileKind,
        timetable::TimetableLine,
        timetable::TimetableDraft,
        timetable::WatchedState,
        timetable::WatchedFile,
        timetable::WatchView,
        live::Event<Room, Message, Conference>,
        live::Command,
        media::ParticipantId,
        media::SourceKind,
        media::Tile,
        media::JoinRequest,
        media::JoinAnswer,
        media::IceServer,
        media::May,
        media::Participant,
        media::Rules,
        media::Known,
        media::Stay,
        media::Order,
        media::MoveReason,
        media::Slot,
        media::Speaker,
        media::Quality,
        media::PersonQuality,
        media::ToNode,
        media::ToClient,
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/types.ts");
    if std::env::var_os("UPDATE_TYPES").is_some() {
        fs::write(&path, &text).expect("the sources can be written");
        return;
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "{} is not current: run UPDATE_TYPES=1 cargo test -p schulhof-web", path.display());
}
