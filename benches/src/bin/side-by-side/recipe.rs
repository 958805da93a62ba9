//! How each program is run, as the shell commands that a person would type.
//!
//! The commands find in their environment: `TREE` (name of the tree in the current directory),
//! `STORE` (an empty directory of their own for what they keep), `SCRATCH` (one for everything
//! else: caches, keys), `TARGET` (an empty directory to restore into), `NUMBER` and `PREVIOUS`
//! (of this archive and the one before, from 1), `PORT` (a free one, for a server), `FILE` (a file
//! below the tree), and `OURS` and `PLAN9` (where our programs and the original's are).

/// One program, or one way of running it. An empty command means that it has no such step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// As in the table.
    pub(crate) name: &'static str,
    /// Names or paths of programs without which it is left out.
    pub(crate) needs: &'static [&'static str],
    /// Makes an empty store; not timed.
    pub(crate) prepare: &'static str,
    /// Runs beside everything that follows, if not empty.
    pub(crate) serve: &'static str,
    /// Archives the tree for the first time.
    pub(crate) first: &'static str,
    /// Archives the tree again.
    pub(crate) again: &'static str,
    /// Restores the archive `NUMBER`.
    pub(crate) restore: &'static str,
    /// Where below `TARGET` the tree is then.
    pub(crate) restored: &'static str,
    /// Writes the one file `FILE` of archive `NUMBER` to standard output.
    pub(crate) one_file: &'static str,
}

const NOTHING: Recipe = Recipe {
    name: "",
    needs: &[],
    prepare: "",
    serve: "",
    first: "",
    again: "",
    restore: "",
    restored: "$TREE",
    one_file: "",
};

/// The programs, in the order of the table.
pub(crate) const RECIPES: &[Recipe] = &[
    Recipe {
        name: TAR,
        needs: &["tar", "lz4"],
        first: "tar -cf - $TREE | lz4 -q > $STORE/tar.lz4",
        again: "tar -cf - $TREE | lz4 -q > $STORE/tar.lz4",
        restore: "lz4 -dc $STORE/tar.lz4 | tar -xf - -C $TARGET",
        ..NOTHING
    },
    Recipe {
        name: FIND,
        needs: &["find"],
        again: "exec find $TREE -printf '%p %s %T@ %C@ %i\\n'",
        ..NOTHING
    },
    Recipe {
        name: "cp -a",
        needs: &["cp"],
        first: "rm -rf $STORE/copy; exec cp -a $TREE $STORE/copy",
        restore: "exec cp -a $STORE/copy $TARGET/$TREE",
        ..NOTHING
    },
    Recipe {
        name: "vac, server",
        needs: &["$OURS/venti", "$OURS/vac", "$OURS/unvac"],
        serve: "exec $OURS/venti serve $STORE --listen 127.0.0.1:$PORT --memory 256m",
        first: "exec $OURS/vac -h 127.0.0.1:$PORT -f $SCRATCH/$NUMBER.vac $TREE",
        again: "exec $OURS/vac -q -h 127.0.0.1:$PORT -d $SCRATCH/$PREVIOUS.vac \
                -f $SCRATCH/$NUMBER.vac $TREE",
        restore: "cd $TARGET && exec $OURS/unvac -h 127.0.0.1:$PORT $SCRATCH/$NUMBER.vac",
        one_file: "exec $OURS/unvac -h 127.0.0.1:$PORT -c $SCRATCH/$NUMBER.vac $FILE",
        ..NOTHING
    },
    Recipe {
        name: "vac, embedded",
        needs: &["$OURS/vac", "$OURS/unvac"],
        first: "exec $OURS/vac -h $STORE -f $SCRATCH/$NUMBER.vac $TREE",
        again: "exec $OURS/vac -q -h $STORE -d $SCRATCH/$PREVIOUS.vac \
                -f $SCRATCH/$NUMBER.vac $TREE",
        restore: "cd $TARGET && exec $OURS/unvac -h $STORE $SCRATCH/$NUMBER.vac",
        one_file: "exec $OURS/unvac -h $STORE -c $SCRATCH/$NUMBER.vac $FILE",
        ..NOTHING
    },
    Recipe {
        name: "bupstash",
        needs: &["bupstash"],
        prepare: "bupstash init -r $STORE/repository && bupstash new-key -o $SCRATCH/key",
        first: "bupstash put -q -k $SCRATCH/key -r $STORE/repository n=$NUMBER $TREE",
        again: "bupstash put -q -k $SCRATCH/key -r $STORE/repository n=$NUMBER $TREE",
        restore: "bupstash restore -q -k $SCRATCH/key -r $STORE/repository --into $TARGET \
                  n=$NUMBER",
        restored: "",
        one_file: "bupstash get -q -k $SCRATCH/key -r $STORE/repository --pick ${FILE#*/} \
                   n=$NUMBER",
        ..NOTHING
    },
    Recipe {
        name: "restic",
        needs: &["restic"],
        prepare: "RESTIC_PASSWORD=x restic -q -r $STORE/repository init",
        first: "RESTIC_PASSWORD=x exec restic -q -r $STORE/repository backup $TREE",
        again: "RESTIC_PASSWORD=x exec restic -q -r $STORE/repository backup $TREE",
        restore: "RESTIC_PASSWORD=x exec restic -q -r $STORE/repository restore latest \
                  --target $TARGET",
        one_file: "RESTIC_PASSWORD=x exec restic -q -r $STORE/repository dump latest /$FILE",
        ..NOTHING
    },
    Recipe {
        name: "rustic",
        needs: &["rustic"],
        prepare: "rustic --no-progress --password x -r $STORE/repository init",
        first: "exec rustic --no-progress --password x -r $STORE/repository backup $TREE",
        again: "exec rustic --no-progress --password x -r $STORE/repository backup $TREE",
        restore: "exec rustic --no-progress --password x -r $STORE/repository restore latest \
                  $TARGET",
        one_file: "exec rustic --no-progress --password x -r $STORE/repository dump latest:$FILE",
        ..NOTHING
    },
    Recipe {
        name: "borg, no encryption",
        needs: &["borg"],
        prepare: "borg init -e none $STORE/repository",
        first: "exec borg create $STORE/repository::$NUMBER $TREE",
        again: "exec borg create $STORE/repository::$NUMBER $TREE",
        restore: "cd $TARGET && exec borg extract $STORE/repository::$NUMBER",
        one_file: "exec borg extract --stdout $STORE/repository::$NUMBER $FILE",
        ..NOTHING
    },
    Recipe {
        name: "borg",
        needs: &["borg"],
        prepare: "BORG_PASSPHRASE=x borg init -e repokey-blake2 $STORE/repository",
        first: "BORG_PASSPHRASE=x exec borg create $STORE/repository::$NUMBER $TREE",
        again: "BORG_PASSPHRASE=x exec borg create $STORE/repository::$NUMBER $TREE",
        restore: "export BORG_PASSPHRASE=x; cd $TARGET && \
                  exec borg extract $STORE/repository::$NUMBER",
        one_file: "BORG_PASSPHRASE=x exec borg extract --stdout $STORE/repository::$NUMBER $FILE",
        ..NOTHING
    },
    Recipe {
        name: "original vac, server",
        needs: &["$PLAN9/bin/vac", "$PLAN9/bin/venti/venti"],
        prepare: "cd $STORE && truncate -s 4G arenas && truncate -s 256M index && \
                  truncate -s 64M bloom && $PLAN9/bin/venti/fmtarenas arenas. arenas && \
                  $PLAN9/bin/venti/fmtisect index. index && \
                  $PLAN9/bin/venti/fmtbloom -s 64m bloom && \
                  printf 'index main\\nisect %s/index\\narenas %s/arenas\\nbloom %s/bloom\\n' \
                  $STORE $STORE $STORE > venti.conf && \
                  printf 'mem 64M\\nbcmem 128M\\nicmem 64M\\n' >> venti.conf && \
                  $PLAN9/bin/venti/fmtindex venti.conf",
        serve: "exec $PLAN9/bin/venti/venti -s -c $STORE/venti.conf -a tcp!127.0.0.1!$PORT",
        first: "exec $PLAN9/bin/vac -h tcp!127.0.0.1!$PORT -f $SCRATCH/$NUMBER.vac $TREE",
        again: "exec $PLAN9/bin/vac -q -h tcp!127.0.0.1!$PORT -d $SCRATCH/$PREVIOUS.vac \
                -f $SCRATCH/$NUMBER.vac $TREE",
        restore: "cd $TARGET && \
                  exec $PLAN9/bin/unvac -h tcp!127.0.0.1!$PORT $SCRATCH/$NUMBER.vac",
        one_file: "exec $PLAN9/bin/unvac -h tcp!127.0.0.1!$PORT -c $SCRATCH/$NUMBER.vac $FILE",
        ..NOTHING
    },
];

/// The measure of a first archive and of a restore.
pub(crate) const TAR: &str = "tar | lz4";
/// The measure of an archive of a tree that has not changed.
pub(crate) const FIND: &str = "find -printf";
