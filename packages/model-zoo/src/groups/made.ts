import path from 'node:path'
import type { SourceFormat } from '@skerry/converter'
import { pythonPackages } from '../python-packages.ts'
import { madeFolder } from '../scripts.ts'
import { type Expectation, failed, ready, unproven, type ZooContext, type ZooModel } from '../zoo-model.ts'

const selectTf = unproven(/Select TF|Flex/i)
const strings = unproven(/string|no runtime/i)

const anyFailure = failed(/./)
/** Both calibrators die of, or refuse, a recurrent layer's loop and state. */
const recurrent = {
  '*': ready,
  full_int8: anyFailure,
  int16x8: anyFailure,
  'full_int8-litertq': anyFailure
}

type Made = {
  name: string
  /** What it has that others have not. */
  about: string
  /** Makes the folder that holds the file, calibration.npz and evaluation.npz. */
  folder: (context: ZooContext) => Promise<string>
  file: string
  format: SourceFormat
  /** Another than evaluation.npz. */
  evaluation?: string
  signature?: string
  moreVariants?: readonly string[]
  expectations?: Readonly<Record<string, Expectation>>
}

const byScript = (script: string, name: string, imports: readonly string[]) => (context: ZooContext) =>
  madeFolder(context, name, script, [name], ['pictures.py', 'face_head.py', ...imports])
const signatures = (name: string) => byScript('make_signatures.py', name, ['archives.py'])
const keras2 = async (context: ZooContext) => {
  const packages = await pythonPackages(context, 'models')
  return madeFolder(context, 'keras2', 'make_keras2.py', [packages], ['pictures.py', 'face_head.py', 'archives.py'])
}

const made = ({ name, about, folder, file, format, evaluation, signature, ...more }: Made): ZooModel => ({
  name,
  group: 'made here',
  origin: about,
  license: 'Apache-2.0',
  ...(more.moreVariants === undefined ? {} : { moreVariants: more.moreVariants }),
  expectations: more.expectations ?? { '*': ready },
  async prepare(context) {
    const from = await folder(context)
    return {
      sourcePath: path.join(from, file),
      format,
      calibrationPath: path.join(from, 'calibration.npz'),
      evaluationPath: path.join(from, evaluation ?? 'evaluation.npz'),
      ...(signature === undefined ? {} : { signature })
    }
  }
})

const ofSequences = (name: string, about: string, more: Partial<Made> = {}): ZooModel => {
  const folder = byScript('make_sequences.py', name, ['lines_of_text.py'])
  return made({ name, about, folder, file: 'model.keras', format: 'keras', ...more })
}

const savedModel = (name: string, file: string, about: string, more: Partial<Made> = {}): ZooModel =>
  made({ name, about, folder: signatures('many-signatures'), file, format: 'savedmodel', ...more })

export const madeModels: readonly ZooModel[] = [
  ofSequences('lstm', 'LSTM over the rows of pictures, trained here', {
    moreVariants: ['float32-dynamicbatch'],
    expectations: { ...recurrent, 'float32-dynamicbatch': selectTf }
  }),
  ofSequences('gru', 'GRU over the columns of pictures, trained here', {
    moreVariants: ['float32-dynamicbatch'],
    expectations: { ...recurrent, 'float32-dynamicbatch': selectTf }
  }),
  ofSequences('transformer', 'attention, GELU and layer normalization over patches, trained here', {
    expectations: { '*': ready, int16x8: failed(/not yet supported for op: 'NEG'/) }
  }),
  ofSequences('text-numbers', 'embedding of int32 characters, trained here', {
    expectations: { '*': ready, int16x8: failed(/Max and min for dynamic tensors/) }
  }),
  ofSequences('text-strings', 'strings in, vocabulary inside, trained here', {
    expectations: { '*': strings, full_int8: anyFailure, int16x8: anyFailure, 'full_int8-litertq': anyFailure }
  }),
  made({
    name: 'two-in-two-out',
    about: 'inputs and outputs of equal shapes whose order the converter changes, trained here',
    folder: signatures('two-in-two-out'),
    file: 'two-in-two-out.keras',
    format: 'keras'
  }),
  made({
    name: 'select-tf',
    about: 'SavedModel with a Cholesky factor, which TFLite has no operator for',
    folder: signatures('select-tf'),
    file: 'select-tf.zip',
    format: 'savedmodel',
    expectations: { '*': selectTf, full_int8: anyFailure, int16x8: anyFailure, 'full_int8-litertq': anyFailure }
  }),
  savedModel('many-signatures', 'many-signatures.zip', 'SavedModel with three signatures, .zip'),
  savedModel('many-signatures-tar', 'many-signatures.tar', 'the same, .tar'),
  savedModel('many-signatures-tgz', 'many-signatures.tar.gz', 'the same, .tar.gz, another signature', {
    signature: 'features',
    evaluation: 'features-evaluation.npz'
  }),
  made({
    name: 'keras2-h5',
    about: 'PyPI tf-keras@2.21.0, HDF5, trained here',
    folder: keras2,
    file: 'keras2.h5',
    format: 'h5'
  }),
  made({
    name: 'keras2-savedmodel',
    about: 'PyPI tf-keras@2.21.0, SavedModel with a legacy optimizer, trained here',
    folder: keras2,
    file: 'keras2.zip',
    format: 'savedmodel'
  })
]
