"""From files to batches: readers, tokenizers, the vocabulary, token ids on disk, the order of rows."""
