//! Stories of files: in two halves, over bad networks, for those who may see them, in every shape.

mod halves;
mod life;
mod looks;
mod names;
mod resuming;
mod rights;

use tests::stories;

use self::{
    halves::{both_halves_in_either_order, halves_race_and_come_twice},
    life::{a_file_goes_to_another_room_and_away, limits_and_usage_are_told, several_messages_hold_a_file},
    looks::{a_file_is_shared, bytes_say_what_they_are},
    resuming::{
        a_stream_proves_what_it_brings, an_upload_goes_on_where_it_broke, streams_are_cut_and_resumed,
        the_usual_client_is_cut_fifty_times,
    },
    rights::{
        files_are_for_the_room, only_the_uploader_sees_what_is_not_checked,
        who_is_removed_while_sending_brings_nothing_in,
    },
};

stories!(
    a_file_is_shared,
    both_halves_in_either_order,
    halves_race_and_come_twice,
    an_upload_goes_on_where_it_broke,
    the_usual_client_is_cut_fifty_times,
    streams_are_cut_and_resumed,
    a_stream_proves_what_it_brings,
    files_are_for_the_room,
    only_the_uploader_sees_what_is_not_checked,
    who_is_removed_while_sending_brings_nothing_in,
    a_file_goes_to_another_room_and_away,
    several_messages_hold_a_file,
    limits_and_usage_are_told,
    bytes_say_what_they_are,
);

/// A picture that has something in it.
fn photo() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(900, 600, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 128]));
    encoded(&picture.into(), image::ImageFormat::Jpeg)
}

fn encoded(picture: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
