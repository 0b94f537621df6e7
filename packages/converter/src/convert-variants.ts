import { ConversionError } from './conversion-error.ts'
import { type PythonListener, type PythonOptions, type PythonRequest, runPythonConverter } from './python-converter.ts'

/** Of these ends of its process, a variant dies alone. */
const variantCrashes: readonly string[] = ['converter-crashed', 'converter-out-of-memory']

/**
 * Runs the converter for all variants. TensorFlow's calibrator can end its process (it does for Keras LSTMs); a variant
 * in which that happens has failed, and the rest go to a new process.
 *
 * @throws ConversionError: the process's own, `converter-crashed` outside of any variant, or the signal's reason.
 */
export async function convertVariants(
  request: PythonRequest,
  options: PythonOptions,
  listener: Omit<PythonListener, 'converting'>
): Promise<void> {
  let left = request.recipes
  let current: string | undefined
  let percent = 0
  const finish = (variant: string) => {
    left = left.filter(({ name }) => name !== variant)
    current = undefined
  }
  const run = (resume: boolean) => {
    const start = percent
    return runPythonConverter({ ...request, recipes: left, resume }, options, {
      ...listener,
      progress: (event) => {
        // A process that resumes counts from 0 again.
        percent = start + ((100 - start) * event.percent) / 100
        listener.progress({ ...event, percent })
      },
      converting: ({ variant }) => {
        current = variant
      },
      variant: (event) => {
        finish(event.variant)
        listener.variant(event)
      }
    })
  }

  for (let resume = request.resume ?? false; ; resume = true) {
    try {
      return await run(resume)
    } catch (error) {
      const crashed = error instanceof ConversionError && variantCrashes.includes(error.code)
      if (!crashed || current === undefined) throw error
      listener.variant({ variant: current, error: [error.message, ...error.lastLines].join('\n') })
      finish(current)
      if (left.length === 0) return
    }
  }
}
