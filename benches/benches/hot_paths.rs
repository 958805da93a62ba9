//! The paths that every block takes: hashing, compression, messages, the index.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use venti_benches::blocks::{BlockMaker, Content};
use venti_proto::{BlockBatch, BlockType, Score};

/// Blocks of a batch.
const BLOCKS: u64 = 64;
/// Bytes of a block.
const SIZE: usize = 8192;

fn blocks(content: Content) -> Vec<u8> {
    let maker = BlockMaker::new(content, SIZE, 1);
    let mut blocks = Vec::new();
    (0..BLOCKS).for_each(|number| maker.append(number, &mut blocks));
    blocks
}

fn hashing(criterion: &mut Criterion) {
    let blocks = blocks(Content::Random);
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(blocks.len() as u64));
    group.bench_function("one after another", |b| {
        b.iter(|| blocks.chunks(SIZE).map(Score::of).fold(0, |sum, s| sum ^ s.as_bytes()[0]));
    });
    group.bench_function("batch", |b| {
        let fill = || {
            let mut batch = BlockBatch::with_capacity(blocks.len());
            blocks.chunks(SIZE).for_each(|block| {
                batch.push(BlockType::DATA, block);
            });
            batch
        };
        b.iter_batched(fill, BlockBatch::hash, BatchSize::LargeInput);
    });
    group.bench_function("BLAKE3", |b| {
        b.iter(|| blocks.chunks(SIZE).for_each(|block| _ = black_box(blake3::hash(block))));
    });
    group.finish();
}

fn compression(criterion: &mut Criterion) {
    for content in [Content::Text, Content::Random] {
        let blocks = blocks(content);
        let mut output = vec![0; lz4_flex::block::get_maximum_output_size(SIZE)];
        let mut group = criterion.benchmark_group(format!("LZ4, {content:?}"));
        group.throughput(Throughput::Bytes(blocks.len() as u64));
        group.bench_function("compress", |b| {
            b.iter(|| {
                for block in blocks.chunks(SIZE) {
                    _ = black_box(lz4_flex::block::compress_into(block, &mut output));
                }
            });
        });
        let packed: Vec<_> = blocks.chunks(SIZE).map(lz4_flex::block::compress).collect();
        group.bench_function("decompress", |b| {
            b.iter(|| {
                for block in &packed {
                    _ = black_box(lz4_flex::block::decompress_into(block, &mut output));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, hashing, compression);
criterion_main!(benches);
