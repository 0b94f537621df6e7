/*
 * LiteRT's C API (google-ai-edge/LiteRT, litert/c) as far as running a model on the CPU needs it. The library has no
 * stable ABI; these declarations are those of ai-edge-litert 2.3.
 */
import koffi from 'koffi'

/** An address in native memory. */
export type Pointer = bigint

type OutPointer = [Pointer | null]
type OutString = [string | null]
type OutNumber = [number | bigint]
type Size = number

export type LiteRtLibrary = {
  createEnvironment(optionCount: number, options: null, environment: OutPointer): number
  getNumAccelerators(environment: Pointer, count: OutNumber): number
  getAccelerator(environment: Pointer, index: number, accelerator: OutPointer): number
  getAcceleratorHardwareSupport(accelerator: Pointer, hardware: OutNumber): number
  createModelFromFile(environment: Pointer, path: string, model: OutPointer): number
  createModelFromBuffer(environment: Pointer, bytes: Uint8Array, length: Size, model: OutPointer): number
  destroyModel(model: Pointer): void
  getNumModelSignatures(model: Pointer, count: OutNumber): number
  getModelSignature(model: Pointer, index: Size, signature: OutPointer): number
  getSignatureKey(signature: Pointer, key: OutString): number
  getNumSignatureInputs(signature: Pointer, count: OutNumber): number
  getNumSignatureOutputs(signature: Pointer, count: OutNumber): number
  getSignatureInputName(signature: Pointer, index: Size, name: OutString): number
  getSignatureOutputName(signature: Pointer, index: Size, name: OutString): number
  createOptions(options: OutPointer): number
  setOptionsHardwareAccelerators(options: Pointer, accelerators: number): number
  createOpaqueOptions(identifier: string, payload: Pointer, destructor: Pointer, options: OutPointer): number
  addOpaqueOptions(options: Pointer, opaque: Pointer): number
  destroyOptions(options: Pointer): void
  createCompiledModel(environment: Pointer, model: Pointer, options: Pointer, compiled: OutPointer): number
  destroyCompiledModel(compiled: Pointer): void
  getInputRequirements(compiled: Pointer, signature: Size, index: Size, requirements: OutPointer): number
  getOutputRequirements(compiled: Pointer, signature: Size, index: Size, requirements: OutPointer): number
  getOutputLayouts(compiled: Pointer, signature: Size, count: Size, layouts: Uint8Array, allocate: boolean): number
  resizeInput(compiled: Pointer, signature: Size, index: Size, shape: Int32Array, rank: Size): number
  /** The memory stays its owner's, who is told nothing by a destructor of null. */
  createTensorBuffer(type: Uint8Array, memory: Pointer, bytes: Size, destructor: null, buffer: OutPointer): number
  getRequiredBytes(requirements: Pointer, bytes: OutNumber): number
  destroyTensorBuffer(buffer: Pointer): void
  runCompiledModel(
    compiled: Pointer,
    signature: Size,
    inputCount: Size,
    inputs: BigUint64Array,
    outputCount: Size,
    outputs: BigUint64Array
  ): number
  /** A C string that `free` releases. */
  strdup(text: string): Pointer
  /** Address of libc's `free`. */
  free: Pointer
}

const declarations: Readonly<Record<Exclude<keyof LiteRtLibrary, 'strdup' | 'free'>, string>> = {
  createEnvironment: 'int LiteRtCreateEnvironment(int count, void *options, _Out_ void **environment)',
  getNumAccelerators: 'int LiteRtGetNumAccelerators(void *environment, _Out_ int *count)',
  getAccelerator: 'int LiteRtGetAccelerator(void *environment, int index, _Out_ void **accelerator)',
  getAcceleratorHardwareSupport: 'int LiteRtGetAcceleratorHardwareSupport(void *accelerator, _Out_ int *hardware)',
  createModelFromFile: 'int LiteRtCreateModelFromFile(void *environment, const char *path, _Out_ void **model)',
  createModelFromBuffer:
    'int LiteRtCreateModelFromBuffer(void *environment, void *bytes, size_t length, _Out_ void **model)',
  destroyModel: 'void LiteRtDestroyModel(void *model)',
  getNumModelSignatures: 'int LiteRtGetNumModelSignatures(void *model, _Out_ size_t *count)',
  getModelSignature: 'int LiteRtGetModelSignature(void *model, size_t index, _Out_ void **signature)',
  getSignatureKey: 'int LiteRtGetSignatureKey(void *signature, _Out_ const char **key)',
  getNumSignatureInputs: 'int LiteRtGetNumSignatureInputs(void *signature, _Out_ size_t *count)',
  getNumSignatureOutputs: 'int LiteRtGetNumSignatureOutputs(void *signature, _Out_ size_t *count)',
  getSignatureInputName: 'int LiteRtGetSignatureInputName(void *signature, size_t index, _Out_ const char **name)',
  getSignatureOutputName: 'int LiteRtGetSignatureOutputName(void *signature, size_t index, _Out_ const char **name)',
  createOptions: 'int LiteRtCreateOptions(_Out_ void **options)',
  setOptionsHardwareAccelerators: 'int LiteRtSetOptionsHardwareAccelerators(void *options, int accelerators)',
  createOpaqueOptions:
    'int LiteRtCreateOpaqueOptions(const char *identifier, void *payload, void *destructor, _Out_ void **options)',
  addOpaqueOptions: 'int LiteRtAddOpaqueOptions(void *options, void *opaque)',
  destroyOptions: 'void LiteRtDestroyOptions(void *options)',
  createCompiledModel:
    'int LiteRtCreateCompiledModel(void *environment, void *model, void *options, _Out_ void **compiled)',
  destroyCompiledModel: 'void LiteRtDestroyCompiledModel(void *compiled)',
  getInputRequirements:
    'int LiteRtGetCompiledModelInputBufferRequirements(void *compiled, size_t signature, size_t index, _Out_ void **r)',
  getOutputRequirements:
    'int LiteRtGetCompiledModelOutputBufferRequirements(void *compiled, size_t signature, size_t index, _Out_ void **r)',
  getOutputLayouts:
    'int LiteRtGetCompiledModelOutputTensorLayouts(void *compiled, size_t signature, size_t n, void *layouts, bool allocate)',
  resizeInput:
    'int LiteRtCompiledModelResizeInputTensor(void *compiled, size_t signature, size_t index, void *shape, size_t rank)',
  createTensorBuffer:
    'int LiteRtCreateTensorBufferFromHostMemory(void *type, void *memory, size_t n, void *destructor, _Out_ void **buffer)',
  getRequiredBytes: 'int LiteRtGetTensorBufferRequirementsBufferSize(void *requirements, _Out_ size_t *bytes)',
  destroyTensorBuffer: 'void LiteRtDestroyTensorBuffer(void *buffer)',
  runCompiledModel:
    'int LiteRtRunCompiledModel(void *compiled, size_t signature, size_t ni, void *inputs, size_t no, void *outputs)'
}

/** Loads the library and binds every function at once, so that a library of another version fails here. */
export function openLiteRt(path: string): LiteRtLibrary {
  const library = koffi.load(path)
  const own = koffi.load(null)
  const bound = Object.fromEntries(
    Object.entries(declarations).map(([name, declaration]) => [name, library.func(declaration)])
  )
  return {
    ...(bound as unknown as Omit<LiteRtLibrary, 'strdup' | 'free'>),
    strdup: own.func('void *strdup(const char *text)') as unknown as LiteRtLibrary['strdup'],
    free: own.func('void *dlsym(void *handle, const char *name)')(null, 'free') as Pointer
  }
}

const statusWords: Readonly<Record<number, string>> = {
  1: 'invalid argument',
  2: 'memory allocation failure',
  3: 'runtime failure',
  4: 'missing input tensor',
  5: 'unsupported',
  6: 'not found',
  7: 'timeout expired',
  8: 'wrong version',
  500: 'file input or output failed',
  501: 'invalid FlatBuffer',
  502: 'dynamic loading failed',
  503: 'serialization failed',
  504: 'compilation failed'
}

/** LiteRtStatus in words. */
export function describeStatus(status: number): string {
  return `${statusWords[status] ?? 'error'} (LiteRT status ${status})`
}
