//! The one file that speaks to C: every call into a plugin, behind functions that are safe.
//!
//! They are safe because they own what they hand over. An object of the plugin is destroyed once,
//! and holds its client, which is destroyed last; a library is never unloaded; memory that the
//! plugin reads or writes after a call returned is freed only after the event that ends this.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use libloading::Library;

use crate::client::DeviceInfo;
use crate::element::{ElementType, Shape};
use crate::error::{Error, INTERNAL};
use crate::executable::MemoryUse;
use crate::interface::*;
use crate::options::OptionValue;

/// The table of functions of a plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    header: NonNull<Header>,
}

// SAFETY: the table is constant and lives as long as the process, since no library is unloaded, and
// the interface's functions may be called from any thread.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// Opens the library at a path that may be relative and takes its table; says in words why that is
/// not possible.
pub(crate) fn open(path: &Path) -> Result<Table, String> {
    // An absolute path, since the system would look for a bare name elsewhere. Links are not
    // followed: a plugin finds its libraries beside the link by which it was named.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    // SAFETY: loading runs the library's initialisers; whoever names a plugin trusts it.
    let library = unsafe { Library::new(path) }.map_err(|error| reason(&error))?;
    // A plugin's threads run on, so its code must stay.
    let library = ManuallyDrop::new(library);
    type GetApi = unsafe extern "C" fn() -> *const Header;
    // SAFETY: by its name the symbol is the entry of the interface, whose type this is.
    let get_api = unsafe { library.get::<GetApi>(b"GetPjrtApi\0") }
        .map_err(|_| String::from("it has no function GetPjrtApi"))?;
    // SAFETY: it takes nothing and gives a table that lives as long as the library.
    let header = unsafe { get_api() }.cast_mut();
    match NonNull::new(header) {
        // SAFETY: a table begins with its size.
        Some(header) if unsafe { (*header.as_ptr()).size } >= size_of::<Header>() => {
            Ok(Table { header })
        }
        _ => Err("its GetPjrtApi gives no table of functions".into()),
    }
}

/// What the system says of a library that cannot be opened.
fn reason(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

impl Table {
    /// The major and the minor version of the interface.
    pub(crate) fn version(self) -> (i32, i32) {
        // SAFETY: `open` saw that the header is there whole.
        unsafe { ((*self.header.as_ptr()).major, (*self.header.as_ptr()).minor) }
    }

    /// Lets the plugin set itself up, which it must do before anything else and only once.
    pub(crate) fn initialize(self) -> Result<(), Error> {
        // SAFETY: the function takes nothing.
        unsafe { self.call(PLUGIN_INITIALIZE, ()) }
    }

    /// What the plugin says of itself.
    pub(crate) fn attributes(self) -> Result<Vec<(String, OptionValue)>, Error> {
        let body = Attributes { list: null(), length: 0 };
        // SAFETY: the body takes nothing in.
        let given = unsafe { self.call(PLUGIN_ATTRIBUTES, body) }?;
        // SAFETY: the interface promises a list that lives as long as the process.
        let list = unsafe { slice(given.list, given.length) };
        // SAFETY: its values belong to it.
        Ok(list.iter().filter_map(|named| unsafe { read_value(named) }).collect())
    }

    /// The function at this place, or none where the table ends before it or leaves it out.
    fn entry(self, index: usize) -> Option<NonNull<std::ffi::c_void>> {
        let offset = size_of::<Header>() + index * size_of::<Pointer>();
        // SAFETY: `open` saw that the header is there whole.
        let size = unsafe { (*self.header.as_ptr()).size };
        if offset + size_of::<Pointer>() > size {
            return None;
        }
        // SAFETY: the table has `size` bytes, and pointers to functions follow its header.
        NonNull::new(unsafe { self.header.as_ptr().byte_add(offset).cast::<Pointer>().read() })
    }

    /// Calls a function and gives back the struct with what the plugin wrote there.
    ///
    /// # Safety
    ///
    /// The pointers in `body` must be what the interface asks of this function.
    unsafe fn call<T>(self, function: Function<T>, body: T) -> Result<T, Error> {
        type Entry<T> = unsafe extern "C" fn(*mut Arguments<T>) -> Pointer;
        let absent = || Error::Unsupported { what: function.name.into() };
        let entry = self.entry(function.index).ok_or_else(absent)?;
        let mut arguments = Arguments::new(body);
        // SAFETY: all functions but two of the table have this type, and those two are not called
        // here; the constant `function` fits struct and place; the caller answers for the body.
        let error =
            unsafe { std::mem::transmute::<NonNull<_>, Entry<T>>(entry)(&raw mut arguments) };
        match NonNull::new(error) {
            None => Ok(arguments.body),
            Some(error) => Err(self.take_error(error.as_ptr())),
        }
    }

    /// Calls one of the two functions that give nothing back.
    ///
    /// # Safety
    ///
    /// The function must be such a one, and `body` what the interface asks of it.
    unsafe fn call_void<T>(self, function: Function<T>, body: T) -> T {
        type Entry<T> = unsafe extern "C" fn(*mut Arguments<T>);
        let mut arguments = Arguments::new(body);
        if let Some(entry) = self.entry(function.index) {
            // SAFETY: the constant `function` fits struct and place; the caller answers for the
            // rest.
            unsafe { std::mem::transmute::<NonNull<_>, Entry<T>>(entry)(&raw mut arguments) };
        }
        arguments.body
    }

    /// Reads an error of the plugin and frees it.
    fn take_error(self, error: Pointer) -> Error {
        let body = Text { object: error, text: null(), length: 0 };
        // SAFETY: the error is alive, and so is its message while it is read.
        let message = unsafe {
            let given = self.call_void(ERROR_MESSAGE, body);
            read_text(given.text, given.length)
        };
        let body = Number { object: error, number: INTERNAL, rest: 0 };
        // SAFETY: the error is alive.
        let code = unsafe { self.call(ERROR_CODE, body) };
        // SAFETY: the error is ours to destroy and is not used afterwards.
        unsafe { self.call_void(ERROR_DESTROY, Object { object: error }) };
        Error::of_status(code.map_or(INTERNAL, |body| body.number), message)
    }
}

/// A list of the plugin's as a slice.
///
/// # Safety
///
/// Unless it is null or empty, the list must have this length and live as long as is made of it.
unsafe fn slice<'a, T>(list: *const T, length: usize) -> &'a [T] {
    if list.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller answers for it.
    unsafe { std::slice::from_raw_parts(list, length) }
}

/// A text of the plugin's.
///
/// # Safety
///
/// Unless it is null or empty, the text must have this length and live during the call.
unsafe fn read_text(text: *const u8, length: usize) -> String {
    // SAFETY: the caller answers for it.
    String::from_utf8_lossy(unsafe { slice(text, length) }).into_owned()
}

/// A named value of the plugin's, unless its kind is unknown.
///
/// # Safety
///
/// The name and what the value points to must be alive.
unsafe fn read_value(named: &NamedValue) -> Option<(String, OptionValue)> {
    // SAFETY: the kind says which field of the union is set; the caller answers for the pointers.
    let value = unsafe {
        match named.kind {
            kind::TEXT => OptionValue::Text(read_text(named.value.text, named.length)),
            kind::INTEGER => OptionValue::Integer(named.value.integer),
            kind::INTEGERS => {
                OptionValue::Integers(slice(named.value.integers, named.length).to_vec())
            }
            kind::FLOAT => OptionValue::Float(named.value.float),
            kind::FLAG => OptionValue::Flag(named.value.flag != 0),
            _ => return None,
        }
    };
    // SAFETY: the caller answers for it.
    Some((unsafe { read_text(named.name, named.name_length) }, value))
}

/// An option as the plugin reads it; it points into the name and the value.
fn named_value(name: &str, value: &OptionValue) -> NamedValue {
    let (kind, value, length) = match value {
        OptionValue::Text(text) => (kind::TEXT, Value { text: text.as_ptr() }, text.len()),
        OptionValue::Integer(integer) => (kind::INTEGER, Value { integer: *integer }, 1),
        OptionValue::Integers(list) => {
            (kind::INTEGERS, Value { integers: list.as_ptr() }, list.len())
        }
        OptionValue::Float(float) => (kind::FLOAT, Value { float: *float }, 1),
        OptionValue::Flag(flag) => (kind::FLAG, Value { flag: u8::from(*flag) }, 1),
    };
    NamedValue {
        size: size_of::<NamedValue>(),
        extension: null_mut(),
        name: name.as_ptr(),
        name_length: name.len(),
        kind,
        value,
        length,
    }
}

/// A client of the plugin with its devices.
pub(crate) struct ClientHandle {
    table: Table,
    pointer: Pointer,
    devices: Vec<Pointer>,
}

// SAFETY: the interface lets clients and their devices be used from any thread, also at once.
unsafe impl Send for ClientHandle {}
// SAFETY: as above.
unsafe impl Sync for ClientHandle {}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        // SAFETY: the client is destroyed once and, since all its objects hold it, after them. A
        // failure has nobody to go to.
        let _ = unsafe { self.table.call(CLIENT_DESTROY, Object { object: self.pointer }) };
    }
}

impl ClientHandle {
    pub(crate) fn create(table: Table, options: &[(&str, OptionValue)]) -> Result<Self, Error> {
        let named: Vec<NamedValue> =
            options.iter().map(|(name, value)| named_value(name, value)).collect();
        let body = ClientCreate {
            options: named.as_ptr(),
            options_length: named.len(),
            store: [null_mut(); 4],
            client: null_mut(),
            more_store: [null_mut(); 2],
        };
        // SAFETY: the options live during the call; there are no callbacks.
        let pointer = not_null(unsafe { table.call(CLIENT_CREATE, body) }?.client, "no client")?;
        let mut client = Self { table, pointer, devices: Vec::new() };
        let body = List { object: pointer, list: null(), length: 0 };
        // SAFETY: the client is alive.
        let list = unsafe { table.call(CLIENT_ADDRESSABLE_DEVICES, body) }?;
        // SAFETY: the list belongs to the client.
        client.devices = unsafe { slice(list.list, list.length) }.to_vec();
        Ok(client)
    }

    /// The number of devices that the client may use.
    pub(crate) fn devices(&self) -> usize {
        self.devices.len()
    }

    pub(crate) fn platform_name(&self) -> Result<String, Error> {
        // SAFETY: the client is alive.
        unsafe { self.text(CLIENT_PLATFORM_NAME, self.pointer) }
    }

    pub(crate) fn platform_version(&self) -> Result<String, Error> {
        // SAFETY: the client is alive.
        unsafe { self.text(CLIENT_PLATFORM_VERSION, self.pointer) }
    }

    /// What the plugin says of the device at this index, but for its memory.
    pub(crate) fn describe(&self, index: usize) -> Result<DeviceInfo, Error> {
        let body = Related { object: self.device(index)?, related: null_mut() };
        // SAFETY: devices live as long as the client.
        let object = unsafe { self.table.call(DEVICE_DESCRIPTION, body) }?.related;
        let object = not_null(object, "no description of a device")?;
        // SAFETY: descriptions live as long as the client.
        unsafe {
            Ok(DeviceInfo {
                id: self.table.call(DESCRIPTION_ID, Number { object, number: 0, rest: 0 })?.number,
                kind: self.text(DESCRIPTION_KIND, object)?,
                description: self.text(DESCRIPTION_TO_STRING, object)?,
                memory: None,
            })
        }
    }

    /// The bytes that are used and, where the device says so, those that may be used.
    pub(crate) fn device_memory(&self, index: usize) -> Result<(i64, Option<i64>), Error> {
        let none = Given::default();
        let body = DeviceMemory {
            device: self.device(index)?,
            used: 0,
            peak: none,
            allocations: none,
            largest: none,
            limit: none,
            others: [none; 7],
        };
        // SAFETY: devices live as long as the client.
        let memory = unsafe { self.table.call(DEVICE_MEMORY, body) }?;
        Ok((memory.used, (memory.limit.given[0] != 0).then_some(memory.limit.number)))
    }

    fn device(&self, index: usize) -> Result<Pointer, Error> {
        let absent = Error::NoSuchDevice { wanted: index, present: self.devices.len() };
        self.devices.get(index).copied().ok_or(absent)
    }

    /// A text that belongs to an object.
    ///
    /// # Safety
    ///
    /// The object must be alive and of the kind that the function takes.
    unsafe fn text(&self, function: Function<Text>, object: Pointer) -> Result<String, Error> {
        let body = Text { object, text: null(), length: 0 };
        // SAFETY: the caller answers for the object, whose text lives while it does.
        unsafe {
            let given = self.table.call(function, body)?;
            Ok(read_text(given.text, given.length))
        }
    }
}

/// The pointer, unless it is null.
fn not_null(pointer: Pointer, otherwise: &str) -> Result<Pointer, Error> {
    if pointer.is_null() { Err(Error::broken_promise(otherwise)) } else { Ok(pointer) }
}

/// What kinds of objects a client has, and how each is destroyed.
pub(crate) trait Kind {
    const DESTROY: Function<Object>;
}

/// An object of a client, which is destroyed when dropped and before the client.
pub(crate) struct Owned<K: Kind> {
    pointer: Pointer,
    client: Arc<ClientHandle>,
    kind: PhantomData<K>,
}

// SAFETY: the interface lets its objects be used from any thread.
unsafe impl<K: Kind> Send for Owned<K> {}
// SAFETY: and at once, but for events, whose functions here ask for the sole reference.
unsafe impl<K: Kind> Sync for Owned<K> {}

impl<K: Kind> Drop for Owned<K> {
    fn drop(&mut self) {
        // SAFETY: the object is destroyed once. A failure has nobody to go to.
        let _ = unsafe { self.client.table.call(K::DESTROY, Object { object: self.pointer }) };
    }
}

impl<K: Kind> Owned<K> {
    /// Takes over an object that the plugin gave.
    ///
    /// # Safety
    ///
    /// It must be null or one of this kind and this client that nobody else destroys.
    unsafe fn take(
        client: &Arc<ClientHandle>,
        pointer: Pointer,
        what: &str,
    ) -> Result<Self, Error> {
        let pointer = not_null(pointer, what)?;
        Ok(Self { pointer, client: Arc::clone(client), kind: PhantomData })
    }
}

/// The kind of buffers.
pub(crate) enum OfBuffer {}
/// The kind of events.
pub(crate) enum OfEvent {}
/// The kind of programs that are loaded and can run.
pub(crate) enum OfLoaded {}
/// The kind of programs as such, which can be asked about.
pub(crate) enum OfExecutable {}

impl Kind for OfBuffer {
    const DESTROY: Function<Object> = BUFFER_DESTROY;
}
impl Kind for OfEvent {
    const DESTROY: Function<Object> = EVENT_DESTROY;
}
impl Kind for OfLoaded {
    const DESTROY: Function<Object> = LOADED_DESTROY;
}
impl Kind for OfExecutable {
    const DESTROY: Function<Object> = EXECUTABLE_DESTROY;
}

/// A buffer of a device.
pub(crate) type BufferHandle = Owned<OfBuffer>;
/// Something that will have happened.
pub(crate) type EventHandle = Owned<OfEvent>;

impl EventHandle {
    /// Whether it has happened or failed.
    pub(crate) fn is_ready(&mut self) -> Result<bool, Error> {
        let body = Flag { object: self.pointer, flag: [0; 8] };
        // SAFETY: the event is alive, and nobody else uses it.
        Ok(unsafe { self.client.table.call(EVENT_IS_READY, body) }?.flag[0] != 0)
    }

    /// Waits until it has happened; gives the failure if it failed.
    pub(crate) fn wait(&mut self) -> Result<(), Error> {
        // SAFETY: the event is alive, and nobody else uses it.
        unsafe { self.client.table.call(EVENT_AWAIT, Object { object: self.pointer }) }.map(drop)
    }
}

/// Memory of the host that a device still reads. Dropping it waits until the device has read it.
pub(crate) struct Transfer {
    event: EventHandle,
    /// Dropped after the wait, since fields are dropped after their owner.
    _bytes: Arc<dyn Send + Sync>,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // The failure of a transfer is the buffer's, where it is reported.
        let _ = self.event.wait();
    }
}

impl Transfer {
    /// Whether the device has read the memory.
    pub(crate) fn is_done(&mut self) -> bool {
        self.event.is_ready().unwrap_or(true)
    }
}

/// Starts to copy `bytes`, an array of this shape, to a device.
pub(crate) fn upload<B: AsRef<[u8]> + Send + Sync + 'static>(
    client: &Arc<ClientHandle>,
    bytes: B,
    shape: &Shape,
    device: usize,
) -> Result<(BufferHandle, Transfer), Error> {
    // Shared, so that the bytes stay in place although their owner moves.
    let bytes = Arc::new(bytes);
    // SAFETY: the owner of the bytes is held, and not touched, until the event says that the device
    // has read them.
    let (buffer, event) =
        unsafe { from_host(client, (*bytes).as_ref(), UNTIL_TRANSFER_COMPLETES, shape, device) }?;
    match event {
        Some(event) => Ok((buffer, Transfer { event, _bytes: bytes })),
        None => {
            // When the reading ends is not known, so the memory is never freed.
            std::mem::forget(bytes);
            Err(Error::broken_promise("no event for a transfer"))
        }
    }
}

/// The same where the plugin is done with the bytes when the call returns.
pub(crate) fn upload_slice(
    client: &Arc<ClientHandle>,
    bytes: &[u8],
    shape: &Shape,
    device: usize,
) -> Result<BufferHandle, Error> {
    // SAFETY: the bytes live during the call.
    Ok(unsafe { from_host(client, bytes, ONLY_DURING_CALL, shape, device) }?.0)
}

/// # Safety
///
/// The bytes must live, unchanged, for as long as `semantics` says.
unsafe fn from_host(
    client: &Arc<ClientHandle>,
    bytes: &[u8],
    semantics: i32,
    shape: &Shape,
    device: usize,
) -> Result<(BufferHandle, Option<EventHandle>), Error> {
    if shape.bytes() != Some(bytes.len()) {
        return Err(Error::argument(format!("{} bytes are no array of {shape}", bytes.len())));
    }
    let dims: Vec<i64> = shape.dims.iter().map(|dim| *dim as i64).collect();
    let body = FromHost {
        client: client.pointer,
        data: bytes.as_ptr(),
        element: shape.element.code(),
        dims: dims.as_ptr(),
        dims_length: dims.len(),
        strides: null(),
        strides_length: 0,
        semantics,
        device: client.device(device)?,
        memory: null_mut(),
        layout: null_mut(),
        done: null_mut(),
        buffer: null_mut(),
    };
    // SAFETY: client and device are alive, the data is as long as its shape says and lives as long
    // as the caller answers for, and the dimensions live during the call.
    let given = unsafe { client.table.call(CLIENT_BUFFER_FROM_HOST, body) }?;
    // SAFETY: both objects are new and ours.
    let event = unsafe { EventHandle::take(client, given.done, "no event") }.ok();
    // SAFETY: as above.
    let buffer = unsafe { BufferHandle::take(client, given.buffer, "no buffer") }?;
    Ok((buffer, event))
}

/// Memory of the host that the plugin still writes. Dropping it waits until that has ended.
pub(crate) struct Download {
    event: EventHandle,
    bytes: ManuallyDrop<Vec<u8>>,
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = self.event.wait();
        // SAFETY: the bytes are dropped only here or taken by `wait`, which then leaves none.
        unsafe { ManuallyDrop::drop(&mut self.bytes) };
    }
}

impl Download {
    /// Whether the copy has ended.
    pub(crate) fn is_ready(&mut self) -> Result<bool, Error> {
        self.event.is_ready()
    }

    /// Waits for the copy and gives the bytes.
    pub(crate) fn wait(mut self) -> Result<Vec<u8>, Error> {
        self.event.wait()?;
        Ok(std::mem::take(&mut *self.bytes))
    }
}

impl BufferHandle {
    /// An event for the buffer's contents.
    pub(crate) fn ready(&self) -> Result<EventHandle, Error> {
        let body = Related { object: self.pointer, related: null_mut() };
        // SAFETY: the buffer is alive.
        let event = unsafe { self.client.table.call(BUFFER_READY, body) }?.related;
        // SAFETY: the event is new and ours.
        unsafe { EventHandle::take(&self.client, event, "no event of a buffer") }
    }

    /// Starts to copy the buffer, an array of this shape, to the host, where it lies dense.
    pub(crate) fn download(&self, shape: &Shape) -> Result<Download, Error> {
        let length = shape.bytes().ok_or_else(|| Error::argument("the array is too large"))?;
        let minor_to_major: Vec<i64> = (0..shape.dims.len() as i64).rev().collect();
        let layout = dense(&minor_to_major);
        // The plugin takes a null target for a question, so that an array of no bytes needs one
        // too.
        let mut bytes = ManuallyDrop::new(vec![0; length.max(1)]);
        bytes.truncate(length);
        let body = ToHost {
            buffer: self.pointer,
            layout: &raw const layout,
            target: bytes.as_mut_ptr(),
            target_length: length,
            event: null_mut(),
        };
        // SAFETY: the buffer is alive and the layout lives during the call; the target has the
        // length that is told and is freed or read only after the event.
        let event = unsafe { self.client.table.call(BUFFER_TO_HOST, body) };
        let event = match event {
            // SAFETY: the event is new and ours.
            Ok(given) => unsafe { EventHandle::take(&self.client, given.event, "no event") }?,
            Err(error) => {
                drop(ManuallyDrop::into_inner(bytes)); // Nothing was begun.
                return Err(error);
            }
        };
        Ok(Download { event, bytes })
    }
}

/// The layout in which the last dimension varies fastest.
fn dense(minor_to_major: &[i64]) -> Layout {
    const TILED: usize = 56;
    Layout {
        size: size_of::<Layout>(),
        extension: null_mut(),
        tiled_size: TILED,
        tiled_extension: null_mut(),
        minor_to_major: minor_to_major.as_ptr(),
        minor_to_major_length: minor_to_major.len(),
        tile_dims: null(),
        tile_dim_sizes: null(),
        tiles: 0,
        kind: 0,
        rest: 0,
    }
}

/// A program that can run, with what is known of its outputs.
pub(crate) struct ExecutableHandle {
    loaded: Owned<OfLoaded>,
    executable: Owned<OfExecutable>,
    outputs: Vec<Arc<Shape>>,
    replicas: usize,
}

/// Compiles a StableHLO text for as many `replicas` as the serialized options say.
pub(crate) fn compile(
    client: &Arc<ClientHandle>,
    text: &str,
    options: &[u8],
    replicas: usize,
) -> Result<ExecutableHandle, Error> {
    let format = "mlir";
    let program = Program {
        size: size_of::<Program>(),
        extension: null_mut(),
        code: text.as_ptr(),
        code_length: text.len(),
        format: format.as_ptr(),
        format_length: format.len(),
        reserve: [0; 8],
    };
    let body = Compile {
        client: client.pointer,
        program: &raw const program,
        options: options.as_ptr(),
        options_length: options.len(),
        executable: null_mut(),
    };
    // SAFETY: the client is alive; program and options live during the call, which only reads them.
    let loaded = unsafe { client.table.call(CLIENT_COMPILE, body) }?.executable;
    // SAFETY: the program is new and ours.
    let loaded = unsafe { Owned::take(client, loaded, "no program") }?;
    ExecutableHandle::new(loaded, replicas)
}

/// Loads a program that [`ExecutableHandle::serialize`] gave.
pub(crate) fn deserialize(
    client: &Arc<ClientHandle>,
    bytes: &[u8],
    options: &[u8],
    replicas: usize,
) -> Result<ExecutableHandle, Error> {
    let body = Deserialize {
        client: client.pointer,
        bytes: bytes.as_ptr(),
        length: bytes.len(),
        executable: null_mut(),
        options: options.as_ptr(),
        options_length: options.len(),
        load_options: null_mut(),
    };
    // SAFETY: the client is alive; bytes and options live during the call, which only reads them.
    let loaded = unsafe { client.table.call(DESERIALIZE, body) }?.executable;
    // SAFETY: the program is new and ours.
    let loaded = unsafe { Owned::take(client, loaded, "no program") }?;
    ExecutableHandle::new(loaded, replicas)
}

/// What a run gives: for each replica its outputs and the event of its end.
pub(crate) struct Started {
    pub(crate) outputs: Vec<Vec<BufferHandle>>,
    pub(crate) ends: Vec<EventHandle>,
}

impl ExecutableHandle {
    fn new(loaded: Owned<OfLoaded>, replicas: usize) -> Result<Self, Error> {
        let client = Arc::clone(&loaded.client);
        let body = Related { object: loaded.pointer, related: null_mut() };
        // SAFETY: the program is alive.
        let pointer = unsafe { client.table.call(LOADED_EXECUTABLE, body) }?.related;
        // SAFETY: the object is new and ours.
        let executable = unsafe { Owned::take(&client, pointer, "no executable") }?;
        let outputs = output_shapes(&executable)?;
        Ok(Self { loaded, executable, outputs, replicas })
    }

    pub(crate) fn outputs(&self) -> &[Arc<Shape>] {
        &self.outputs
    }

    /// The device memory that a run needs.
    pub(crate) fn memory(&self) -> Result<MemoryUse, Error> {
        let body = ExecutableMemory {
            executable: self.executable.pointer,
            code: 0,
            arguments: 0,
            outputs: 0,
            aliased: 0,
            temporary: 0,
            others: [0; 10],
        };
        // SAFETY: the executable is alive.
        let given = unsafe { self.loaded.client.table.call(EXECUTABLE_MEMORY, body) }?;
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(MemoryUse {
            arguments: bytes(given.arguments),
            outputs: bytes(given.outputs),
            aliased: bytes(given.aliased),
            temporary: bytes(given.temporary),
            code: bytes(given.code),
        })
    }

    pub(crate) fn fingerprint(&self) -> Result<Vec<u8>, Error> {
        let body = Text { object: self.executable.pointer, text: null(), length: 0 };
        // SAFETY: the executable is alive, and so is its fingerprint while it is copied.
        unsafe {
            let given = self.loaded.client.table.call(EXECUTABLE_FINGERPRINT, body)?;
            Ok(slice(given.text, given.length).to_vec())
        }
    }

    pub(crate) fn serialize(&self) -> Result<Vec<u8>, Error> {
        let body = Serialize {
            executable: self.executable.pointer,
            bytes: null(),
            length: 0,
            serialized: null_mut(),
            free: None,
        };
        // SAFETY: the executable is alive.
        let given = unsafe { self.loaded.client.table.call(EXECUTABLE_SERIALIZE, body) }?;
        // SAFETY: the bytes live until they are freed below.
        let bytes = unsafe { slice(given.bytes, given.length) }.to_vec();
        if let Some(free) = given.free {
            // SAFETY: the plugin gave this function for this object, which is freed once.
            unsafe { free(given.serialized) };
        }
        Ok(bytes)
    }

    /// Enqueues a run on one list of arguments for each replica. Arguments whose indices are not
    /// among `kept` may be donated, after which using them is an error.
    pub(crate) fn execute(
        &self,
        lists: &[Vec<&BufferHandle>],
        kept: &[i64],
    ) -> Result<Started, Error> {
        let client = &self.loaded.client;
        let length = lists.first().map_or(0, Vec::len);
        let ours = |buffer: &&BufferHandle| Arc::ptr_eq(&buffer.client, client);
        if lists.len() != self.replicas || lists.iter().any(|list| list.len() != length) {
            return Err(Error::argument("every replica needs its list of arguments"));
        }
        if !lists.iter().flatten().all(ours) {
            return Err(Error::argument("an argument lies in the buffer of another client"));
        }
        let pointers =
            |list: &Vec<&BufferHandle>| list.iter().map(|buffer| buffer.pointer).collect();
        let arguments: Vec<Vec<Pointer>> = lists.iter().map(pointers).collect();
        let mut outputs = vec![vec![null_mut(); self.outputs.len()]; lists.len()];
        let mut events = vec![null_mut(); lists.len()];
        let argument_lists: Vec<_> = arguments.iter().map(Vec::as_ptr).collect();
        let output_lists: Vec<_> = outputs.iter_mut().map(Vec::as_mut_ptr).collect();
        let options = execute_options(kept);
        let body = Execute {
            executable: self.loaded.pointer,
            options: &raw const options,
            arguments: argument_lists.as_ptr(),
            devices: lists.len(),
            arguments_length: length,
            outputs: output_lists.as_ptr(),
            events: events.as_mut_ptr(),
            device: null_mut(),
        };
        // SAFETY: the program and the arguments, of the same client, are alive; the plugin itself
        // holds what a run uses beyond the call. The lists have the lengths that are told, those of
        // outputs one place for each output, and live during the call.
        unsafe { client.table.call(LOADED_EXECUTE, body) }?;
        // SAFETY: outputs and events are new and ours.
        unsafe { take_outputs(client, outputs, events) }
    }
}

fn execute_options(kept: &[i64]) -> ExecuteOptions {
    ExecuteOptions {
        size: size_of::<ExecuteOptions>(),
        extension: null_mut(),
        callbacks: [null_mut(); 2],
        callbacks_lengths: [0; 2],
        launch: 0,
        rest: 0,
        kept: kept.as_ptr(),
        kept_length: kept.len(),
        reserve: [0; 17],
    }
}

/// Takes over what a run gave.
///
/// # Safety
///
/// The pointers must be null or new buffers and events of this client.
unsafe fn take_outputs(
    client: &Arc<ClientHandle>,
    outputs: Vec<Vec<Pointer>>,
    events: Vec<Pointer>,
) -> Result<Started, Error> {
    // SAFETY: the caller answers for it.
    let buffer = |pointer| unsafe { BufferHandle::take(client, pointer, "no output") };
    // SAFETY: the caller answers for it.
    let event = |pointer| unsafe { EventHandle::take(client, pointer, "no end of a run") };
    // All are taken over before the first failure is reported, so that none is left undestroyed.
    let outputs: Vec<Vec<_>> =
        outputs.into_iter().map(|list| list.into_iter().map(buffer).collect()).collect();
    let ends: Vec<_> = events.into_iter().map(event).collect();
    let outputs = outputs.into_iter().map(|list| list.into_iter().collect());
    Ok(Started {
        outputs: outputs.collect::<Result<_, _>>()?,
        ends: ends.into_iter().collect::<Result<_, _>>()?,
    })
}

/// The shapes of a program's outputs.
fn output_shapes(executable: &Owned<OfExecutable>) -> Result<Vec<Arc<Shape>>, Error> {
    let (table, object) = (executable.client.table, executable.pointer);
    // SAFETY: the executable is alive.
    let count = unsafe { table.call(EXECUTABLE_OUTPUTS, Count { object, count: 0 }) }?.count;
    let body = OutputTypes { executable: object, types: null(), length: 0 };
    // SAFETY: the executable is alive, and the list belongs to it.
    let types = unsafe {
        let given = table.call(EXECUTABLE_OUTPUT_TYPES, body)?;
        slice(given.types, given.length)
    };
    let body = OutputDims { executable: object, outputs: count, dims: null(), ranks: null() };
    // SAFETY: the executable is alive.
    let given = unsafe { table.call(EXECUTABLE_OUTPUT_DIMS, body) }?;
    // SAFETY: the list belongs to the executable and has a place for each output.
    let ranks = unsafe { slice(given.ranks, count) };
    // SAFETY: the list belongs to the executable and has the dimensions of all outputs.
    let mut dims = unsafe { slice(given.dims, ranks.iter().sum()) };
    if types.len() != count || ranks.len() != count {
        return Err(Error::broken_promise("other numbers of outputs and of their types"));
    }
    let mut shapes = Vec::with_capacity(count);
    for (&code, &rank) in types.iter().zip(ranks) {
        let (own, others) = dims
            .split_at_checked(rank)
            .ok_or_else(|| Error::broken_promise("too few dimensions of outputs"))?;
        dims = others;
        shapes.push(Arc::new(output_shape(code, own)?));
    }
    Ok(shapes)
}

fn output_shape(code: i32, dims: &[i64]) -> Result<Shape, Error> {
    let element = ElementType::of_code(code).ok_or_else(|| Error::Unsupported {
        what: format!("outputs of the element type with the number {code}"),
    })?;
    let dims = dims.iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>();
    let dims = dims.map_err(|_| Error::broken_promise("an output of a negative dimension"))?;
    Ok(Shape { element, dims })
}
