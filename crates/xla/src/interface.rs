//! The layout of the C interface: its table of functions and the structs that they take.
//!
//! Nothing is called here. The table and the structs only ever grow at their ends, and each begins
//! with its size, by which both sides know how much of it the other one knows.

use std::ffi::c_void;
use std::marker::PhantomData;

/// Any pointer of the interface; what it points to belongs to the plugin.
pub(crate) type Pointer = *mut c_void;

/// The major version of the interface, which changes only with its layout.
pub(crate) const MAJOR: i32 = 0;
/// The least minor version whose table has the functions without which nothing works.
pub(crate) const LEAST_MINOR: i32 = 57;

/// The beginning of the table; pointers to functions follow.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) size: usize,
    pub(crate) extension: Pointer,
    pub(crate) version_size: usize,
    pub(crate) version_extension: Pointer,
    pub(crate) major: i32,
    pub(crate) minor: i32,
}

/// The struct that a function takes.
///
/// Plugins refuse structs that are smaller than they know them, so a field that a later version of
/// the interface adds would make them refuse ours. The reserve is where such fields will lie; zero
/// is what the interface gives their absence to mean.
#[repr(C)]
pub(crate) struct Arguments<T> {
    size: usize,
    extension: Pointer,
    pub(crate) body: T,
    reserve: [usize; 8],
}

impl<T> Arguments<T> {
    pub(crate) fn new(body: T) -> Self {
        let extension = std::ptr::null_mut();
        Self { size: size_of::<Self>(), extension, body, reserve: [0; 8] }
    }
}

/// The place of a function in the table and the body of the struct that it takes.
pub(crate) struct Function<T> {
    pub(crate) index: usize,
    pub(crate) name: &'static str,
    body: PhantomData<fn(T)>,
}

impl<T> Function<T> {
    const fn at(index: usize, name: &'static str) -> Self {
        Self { index, name, body: PhantomData }
    }
}

/// Declares functions of the table: `NAME: Body = index, "its name in C";`.
macro_rules! functions {
    ($($constant:ident: $body:ty = $index:literal, $name:literal;)*) => {
        $(pub(crate) const $constant: Function<$body> = Function::at($index, $name);)*
    };
}

functions! {
    ERROR_DESTROY: Object = 0, "PJRT_Error_Destroy";
    ERROR_MESSAGE: Text = 1, "PJRT_Error_Message";
    ERROR_CODE: Number = 2, "PJRT_Error_GetCode";
    PLUGIN_INITIALIZE: () = 3, "PJRT_Plugin_Initialize";
    PLUGIN_ATTRIBUTES: Attributes = 4, "PJRT_Plugin_Attributes";
    EVENT_DESTROY: Object = 5, "PJRT_Event_Destroy";
    EVENT_IS_READY: Flag = 6, "PJRT_Event_IsReady";
    EVENT_AWAIT: Object = 8, "PJRT_Event_Await";
    CLIENT_CREATE: ClientCreate = 10, "PJRT_Client_Create";
    CLIENT_DESTROY: Object = 11, "PJRT_Client_Destroy";
    CLIENT_PLATFORM_NAME: Text = 12, "PJRT_Client_PlatformName";
    CLIENT_PLATFORM_VERSION: Text = 14, "PJRT_Client_PlatformVersion";
    CLIENT_ADDRESSABLE_DEVICES: List = 16, "PJRT_Client_AddressableDevices";
    CLIENT_COMPILE: Compile = 20, "PJRT_Client_Compile";
    CLIENT_BUFFER_FROM_HOST: FromHost = 22, "PJRT_Client_BufferFromHostBuffer";
    DESCRIPTION_ID: Number = 23, "PJRT_DeviceDescription_Id";
    DESCRIPTION_KIND: Text = 26, "PJRT_DeviceDescription_Kind";
    DESCRIPTION_TO_STRING: Text = 28, "PJRT_DeviceDescription_ToString";
    DEVICE_DESCRIPTION: Related = 29, "PJRT_Device_GetDescription";
    DEVICE_MEMORY: DeviceMemory = 34, "PJRT_Device_MemoryStats";
    EXECUTABLE_DESTROY: Object = 40, "PJRT_Executable_Destroy";
    EXECUTABLE_OUTPUTS: Count = 44, "PJRT_Executable_NumOutputs";
    EXECUTABLE_SERIALIZE: Serialize = 49, "PJRT_Executable_Serialize";
    LOADED_DESTROY: Object = 50, "PJRT_LoadedExecutable_Destroy";
    LOADED_EXECUTABLE: Related = 51, "PJRT_LoadedExecutable_GetExecutable";
    LOADED_EXECUTE: Execute = 55, "PJRT_LoadedExecutable_Execute";
    DESERIALIZE: Deserialize = 56, "PJRT_Executable_DeserializeAndLoad";
    BUFFER_DESTROY: Object = 58, "PJRT_Buffer_Destroy";
    BUFFER_TO_HOST: ToHost = 70, "PJRT_Buffer_ToHostBuffer";
    BUFFER_READY: Related = 72, "PJRT_Buffer_ReadyEvent";
    EXECUTABLE_OUTPUT_TYPES: OutputTypes = 90, "PJRT_Executable_OutputElementTypes";
    EXECUTABLE_OUTPUT_DIMS: OutputDims = 91, "PJRT_Executable_OutputDimensions";
    EXECUTABLE_FINGERPRINT: Text = 94, "PJRT_Executable_Fingerprint";
    EXECUTABLE_MEMORY: ExecutableMemory = 96, "PJRT_Executable_GetCompiledMemoryStats";
}

/// An object alone.
#[repr(C)]
pub(crate) struct Object {
    pub(crate) object: Pointer,
}

/// An object and a text that belongs to it.
#[repr(C)]
pub(crate) struct Text {
    pub(crate) object: Pointer,
    pub(crate) text: *const u8,
    pub(crate) length: usize,
}

/// An object and a number of it.
#[repr(C)]
pub(crate) struct Number {
    pub(crate) object: Pointer,
    pub(crate) number: i32,
    pub(crate) rest: i32,
}

/// An object and a count of its parts.
#[repr(C)]
pub(crate) struct Count {
    pub(crate) object: Pointer,
    pub(crate) count: usize,
}

/// An object and whether something is so; bytes, since only the first one is the plugin's to write.
#[repr(C)]
pub(crate) struct Flag {
    pub(crate) object: Pointer,
    pub(crate) flag: [u8; 8],
}

/// An object and another one that it gives.
#[repr(C)]
pub(crate) struct Related {
    pub(crate) object: Pointer,
    pub(crate) related: Pointer,
}

/// An object and a list of others that belongs to it.
#[repr(C)]
pub(crate) struct List {
    pub(crate) object: Pointer,
    pub(crate) list: *const Pointer,
    pub(crate) length: usize,
}

/// A list of named values that lives as long as the process.
#[repr(C)]
pub(crate) struct Attributes {
    pub(crate) list: *const NamedValue,
    pub(crate) length: usize,
}

/// A name and a value; `kind` says what `value` is.
#[repr(C)]
pub(crate) struct NamedValue {
    pub(crate) size: usize,
    pub(crate) extension: Pointer,
    pub(crate) name: *const u8,
    pub(crate) name_length: usize,
    pub(crate) kind: i32,
    pub(crate) value: Value,
    pub(crate) length: usize,
}

/// The kinds of a [`NamedValue`].
pub(crate) mod kind {
    pub(crate) const TEXT: i32 = 0;
    pub(crate) const INTEGER: i32 = 1;
    pub(crate) const INTEGERS: i32 = 2;
    pub(crate) const FLOAT: i32 = 3;
    pub(crate) const FLAG: i32 = 4;
}

/// The value of a [`NamedValue`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union Value {
    pub(crate) text: *const u8,
    pub(crate) integer: i64,
    pub(crate) integers: *const i64,
    pub(crate) float: f32,
    pub(crate) flag: u8,
}

/// A client's options; the callbacks serve several processes, which do not occur here.
#[repr(C)]
pub(crate) struct ClientCreate {
    pub(crate) options: *const NamedValue,
    pub(crate) options_length: usize,
    pub(crate) store: [Pointer; 4],
    pub(crate) client: Pointer,
    pub(crate) more_store: [Pointer; 2],
}

/// A program in one of the formats that plugins read.
#[repr(C)]
pub(crate) struct Program {
    pub(crate) size: usize,
    pub(crate) extension: Pointer,
    pub(crate) code: *const u8,
    pub(crate) code_length: usize,
    pub(crate) format: *const u8,
    pub(crate) format_length: usize,
    pub(crate) reserve: [usize; 8],
}

/// A program with its options, a serialized CompileOptionsProto.
#[repr(C)]
pub(crate) struct Compile {
    pub(crate) client: Pointer,
    pub(crate) program: *const Program,
    pub(crate) options: *const u8,
    pub(crate) options_length: usize,
    pub(crate) executable: Pointer,
}

/// What a plugin promises about the host's memory: not to look at it after the call.
pub(crate) const ONLY_DURING_CALL: i32 = 0;
/// What a plugin promises about the host's memory: not to look at it after the event.
pub(crate) const UNTIL_TRANSFER_COMPLETES: i32 = 1;

/// An array in the host's memory that becomes a buffer.
#[repr(C)]
pub(crate) struct FromHost {
    pub(crate) client: Pointer,
    pub(crate) data: *const u8,
    pub(crate) element: i32,
    pub(crate) dims: *const i64,
    pub(crate) dims_length: usize,
    pub(crate) strides: *const i64,
    pub(crate) strides_length: usize,
    pub(crate) semantics: i32,
    pub(crate) device: Pointer,
    pub(crate) memory: Pointer,
    pub(crate) layout: Pointer,
    pub(crate) done: Pointer,
    pub(crate) buffer: Pointer,
}

/// A layout by the order of dimensions, without tiles; the C struct is a union with a smaller one.
#[repr(C)]
pub(crate) struct Layout {
    pub(crate) size: usize,
    pub(crate) extension: Pointer,
    pub(crate) tiled_size: usize,
    pub(crate) tiled_extension: Pointer,
    pub(crate) minor_to_major: *const i64,
    pub(crate) minor_to_major_length: usize,
    pub(crate) tile_dims: *const i64,
    pub(crate) tile_dim_sizes: *const usize,
    pub(crate) tiles: usize,
    pub(crate) kind: i32,
    pub(crate) rest: i32,
}

/// A buffer and where in the host's memory it goes.
#[repr(C)]
pub(crate) struct ToHost {
    pub(crate) buffer: Pointer,
    pub(crate) layout: *const Layout,
    pub(crate) target: *mut u8,
    pub(crate) target_length: usize,
    pub(crate) event: Pointer,
}

/// What a device says of its memory. Each number but the first is followed by whether it is given.
#[repr(C)]
pub(crate) struct DeviceMemory {
    pub(crate) device: Pointer,
    pub(crate) used: i64,
    pub(crate) peak: Given,
    pub(crate) allocations: Given,
    pub(crate) largest: Given,
    pub(crate) limit: Given,
    pub(crate) others: [Given; 7],
}

/// A number and whether it is given, in the first of the bytes.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Given {
    pub(crate) number: i64,
    pub(crate) given: [u8; 8],
}

/// A serialized executable and the function that frees it.
#[repr(C)]
pub(crate) struct Serialize {
    pub(crate) executable: Pointer,
    pub(crate) bytes: *const u8,
    pub(crate) length: usize,
    pub(crate) serialized: Pointer,
    pub(crate) free: Option<unsafe extern "C" fn(Pointer)>,
}

/// A serialized executable with the options to load it by.
#[repr(C)]
pub(crate) struct Deserialize {
    pub(crate) client: Pointer,
    pub(crate) bytes: *const u8,
    pub(crate) length: usize,
    pub(crate) executable: Pointer,
    pub(crate) options: *const u8,
    pub(crate) options_length: usize,
    pub(crate) load_options: Pointer,
}

/// How an executable runs: callbacks, which are not used here, and the arguments that stay.
#[repr(C)]
pub(crate) struct ExecuteOptions {
    pub(crate) size: usize,
    pub(crate) extension: Pointer,
    pub(crate) callbacks: [Pointer; 2],
    pub(crate) callbacks_lengths: [usize; 2],
    pub(crate) launch: i32,
    pub(crate) rest: i32,
    pub(crate) kept: *const i64,
    pub(crate) kept_length: usize,
    pub(crate) reserve: [usize; 17],
}

/// A run of an executable on one list of arguments for each device.
#[repr(C)]
pub(crate) struct Execute {
    pub(crate) executable: Pointer,
    pub(crate) options: *const ExecuteOptions,
    pub(crate) arguments: *const *const Pointer,
    pub(crate) devices: usize,
    pub(crate) arguments_length: usize,
    pub(crate) outputs: *const *mut Pointer,
    pub(crate) events: *mut Pointer,
    pub(crate) device: Pointer,
}

/// The element types of an executable's outputs.
#[repr(C)]
pub(crate) struct OutputTypes {
    pub(crate) executable: Pointer,
    pub(crate) types: *const i32,
    pub(crate) length: usize,
}

/// The dimensions of an executable's outputs, one list for all, and how many each output has.
#[repr(C)]
pub(crate) struct OutputDims {
    pub(crate) executable: Pointer,
    pub(crate) outputs: usize,
    pub(crate) dims: *const i64,
    pub(crate) ranks: *const usize,
}

/// The device memory that an executable needs, then the same for the host and more.
#[repr(C)]
pub(crate) struct ExecutableMemory {
    pub(crate) executable: Pointer,
    pub(crate) code: i64,
    pub(crate) arguments: i64,
    pub(crate) outputs: i64,
    pub(crate) aliased: i64,
    pub(crate) temporary: i64,
    pub(crate) others: [i64; 10],
}

const _: () = assert!(size_of::<usize>() == 8, "the structs above are laid out for 64 bits");
// The sizes of the C structs, without the reserve where there is one.
const _: () = assert!(size_of::<Header>() == 40);
const _: () = assert!(size_of::<NamedValue>() == 56);
const _: () = assert!(size_of::<Layout>() == 80);
const _: () = assert!(size_of::<FromHost>() == 104);
const _: () = assert!(size_of::<DeviceMemory>() == 192);
const _: () = assert!(std::mem::offset_of!(ExecuteOptions, kept) == 56);
