/* Takes a pipe's name before the agent does, and prints whatever its first client sends. */
#include <stdio.h>
#include <windows.h>

int wmain(int argc, wchar_t **argv) {
    char heard[4096];
    DWORD many;
    HANDLE pipe;
    if (argc != 2) return 2;
    pipe = CreateNamedPipeW(argv[1], PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE | PIPE_WAIT, PIPE_UNLIMITED_INSTANCES,
                            4096, 4096, 0, NULL);
    if (pipe == INVALID_HANDLE_VALUE) return 1;
    printf("open");
    fflush(stdout);
    if (!ConnectNamedPipe(pipe, NULL) && GetLastError() != ERROR_PIPE_CONNECTED) return 1;
    while (ReadFile(pipe, heard, sizeof heard, &many, NULL) && many > 0) {
        fwrite(heard, 1, many, stdout);
        fflush(stdout);
    }
    CloseHandle(pipe);
    return 0;
}
