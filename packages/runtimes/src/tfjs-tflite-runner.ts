import type { TFLiteModel } from '@tensorflow/tfjs-tflite'

/** What the package's TFLiteModel keeps to itself: its hold on the interpreter in WebAssembly. */
export type ModelRunner = {
  getInputs(): TensorInfo[]
  getOutputs(): TensorInfo[]
  infer(): boolean
  cleanUp(): void
}

/** A handle on an object in WebAssembly's memory, which stays there until `delete`. */
type TensorInfo = {
  readonly name: string
  readonly shape: string
  readonly dataType: string
  data(): unknown
  delete(): void
}

export function runnerOf(model: TFLiteModel): ModelRunner {
  return (model as unknown as { modelRunner: ModelRunner }).modelRunner
}

/**
 * Repairs two faults of TFLiteModel's `predict` beneath it.
 *
 * It looks outputs up before it runs the model. An output whose shape follows from a dynamic one (the batch of most
 * converted models) moves during the run, and the first answer would be read from where it was: zeros, and no error.
 * Here each output's data is read from where it is after the run.
 *
 * It never deletes the handles that each call gets. WebAssembly's memory grows until, after some ten thousand calls, it
 * is replaced while a view of it is in use. The function returned here deletes those of the last call.
 */
export function repairRunner(runner: ModelRunner): () => void {
  const handles: TensorInfo[] = []
  const keep = (infos: TensorInfo[]): TensorInfo[] => {
    handles.push(...infos)
    return infos
  }
  const lookUp = {
    inputs: runner.getInputs.bind(runner),
    outputs: runner.getOutputs.bind(runner),
    infer: runner.infer.bind(runner)
  }
  let afterwards: TensorInfo[] = []
  runner.getInputs = () => keep(lookUp.inputs())
  runner.infer = () => {
    const succeeded = lookUp.infer()
    afterwards = keep(lookUp.outputs())
    return succeeded
  }
  runner.getOutputs = () =>
    keep(lookUp.outputs()).map((info, index) => ({
      name: info.name,
      dataType: info.dataType,
      get shape() {
        return (afterwards[index] ?? info).shape
      },
      data: () => (afterwards[index] ?? info).data(),
      delete: () => undefined
    }))
  return () => {
    afterwards = []
    for (const handle of handles.splice(0)) handle.delete()
  }
}
