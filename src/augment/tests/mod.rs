//! Views beside torchvision's: [`whole_views`] given every random choice, [`distributions`] of the choices
//! themselves.

mod distributions;
mod whole_views;
