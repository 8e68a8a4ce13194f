/* What newlib asks of a system, asked of Linux: programs compiled for Cortex-M cores then run under qemu-arm.
 *
 * Cores of that profile execute Thumb code alone, which an application processor executes, too. Linked with
 * -nostartfiles to a program of the C library of arm-none-eabi-gcc. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { READ = 3, WRITE = 4, OPEN = 5, CLOSE = 6, LSEEK = 19, MKDIR = 39, EXIT_GROUP = 248 };
enum { LINUX_CREATE = 0100, LINUX_TRUNCATE = 01000 };

int main(int argc, char **argv);
void exit(int status) __attribute__((noreturn));

/* Linux leaves argc at the top of the stack, and argv above it. */
__attribute__((naked, used)) void _start(void)
{
    __asm__("ldr r0, [sp]\n\tadd r1, sp, #4\n\tbl begin");
}

__attribute__((noreturn, used)) void begin(int argc, char **argv)
{
    exit(main(argc, argv));
}

static long call(long number, long a, long b, long c)
{
    register long r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;

    /* The number goes in r7, which may be the frame pointer. */
    __asm__ volatile("push {r7}\n\tmov r7, %1\n\tsvc 0\n\tpop {r7}"
                     : "+r"(r0)
                     : "l"(number), "r"(r1), "r"(r2)
                     : "memory");
    if (r0 < 0) {
        errno = (int)-r0;
        return -1;
    }
    return r0;
}

void _fini(void)
{
}

void _exit(int status)
{
    for (;;) {
        call(EXIT_GROUP, status, 0, 0);
    }
}

int _read(int file, void *bytes, unsigned count)
{
    return (int)call(READ, file, (long)bytes, (long)count);
}

int _write(int file, const void *bytes, unsigned count)
{
    return (int)call(WRITE, file, (long)bytes, (long)count);
}

int _open(const char *path, int flags, int mode)
{
    long of_linux = flags & O_ACCMODE;

    of_linux |= (flags & O_CREAT) ? LINUX_CREATE : 0;
    of_linux |= (flags & O_TRUNC) ? LINUX_TRUNCATE : 0;
    return (int)call(OPEN, (long)path, of_linux, mode);
}

int _close(int file)
{
    return file > 2 ? (int)call(CLOSE, file, 0, 0) : 0; /* qemu itself writes to the others after the end */
}

long _lseek(int file, long offset, int from)
{
    return call(LSEEK, file, offset, from);
}

int mkdir(const char *path, mode_t mode)
{
    return (int)call(MKDIR, (long)path, (long)mode, 0);
}

int _fstat(int file, struct stat *found)
{
    (void)file;
    *found = (struct stat){.st_mode = S_IFREG};
    return 0;
}

int _isatty(int file)
{
    (void)file;
    return 0;
}

void *_sbrk(long more)
{
    static char heap[1 << 18] __attribute__((aligned(8)));
    static long used;

    used += more;
    return heap + used - more;
}

int _getpid(void)
{
    return 1;
}

int _kill(int process, int signal)
{
    (void)process;
    _exit(128 + signal);
    return -1;
}
